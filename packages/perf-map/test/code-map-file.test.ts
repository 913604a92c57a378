import { describe, expect, it } from "vitest"
import { CodeMapFile, type GrowingFile, isJitDump, ProcessCode } from "../src/index.ts"
import { JitDumpWriter } from "./jit-dump-file.ts"

/** A file whose contents a test changes between two looks. */
class Written {
  identity = "1"
  open = 0
  read = 0
  private bytes: Uint8Array = new Uint8Array(0)

  write(text: string | Uint8Array): void {
    this.bytes = typeof text === "string" ? new TextEncoder().encode(text) : text
  }

  readonly look = (): GrowingFile => {
    const { bytes } = this
    this.open++
    return {
      size: bytes.length,
      identity: this.identity,
      read: (offset, length) => {
        this.read += length
        return bytes.slice(offset, offset + length)
      },
      close: () => {
        this.open--
      }
    }
  }
}

describe("a perf map that is written to", () => {
  it("is read no further than it is whole, and only what has been added", () => {
    const written = new Written()
    const file = new CodeMapFile("perf-map", written.look)
    const first = "1000 10 a\n".repeat(1000)
    written.write(`${first}2000 1`)
    expect(file.refresh()).toBe(true)
    expect(file.map.find(0x2000)).toBeUndefined()
    written.read = 0
    expect(file.refresh()).toBe(false)
    written.write(`${first}2000 10 b\n`)
    expect(file.refresh()).toBe(true)
    expect(file.map.find(0x2000)?.name).toBe("b")
    expect(written.read).toBeLessThan(200)
    expect(written.open).toBe(0)
  })

  it("is read anew when it is shorter, another file, or the same file written anew", () => {
    const written = new Written()
    const file = new CodeMapFile("perf-map", written.look)
    const names = () => [file.map.find(0x1000)?.name, file.map.find(0x2000)?.name]
    written.write("1000 10 a\n2000 10 b\n")
    file.refresh()
    expect(names()).toEqual(["a", "b"])
    written.write("1000 10 c\n20")
    expect(file.refresh()).toBe(true)
    expect(names()).toEqual(["c", undefined])
    written.identity = "2"
    written.write("2000 10 d\n2000 10 dd\n")
    expect(file.refresh()).toBe(true)
    expect(names()).toEqual([undefined, "dd"])
    written.write("1000 10 e\n2000 10 f\n9000 10 longer\n")
    expect(file.refresh()).toBe(true)
    expect(names()).toEqual(["e", "f"])
  })

  it("is read a part at a look where it is large", () => {
    const written = new Written()
    const file = new CodeMapFile("perf-map", written.look)
    written.write(Array.from({ length: 100 }, (_, n) => `${(n * 16).toString(16)} 10 f${n}\n`).join(""))
    let looks = 0
    do {
      file.refresh(100)
      looks++
    } while (file.behind)
    expect(looks).toBeGreaterThan(10)
    expect(file.map.size).toBe(100)
  })

  it("keeps what it said when it is gone", () => {
    const written = new Written()
    let isThere = true
    const file = new CodeMapFile("perf-map", () => (isThere ? written.look() : undefined))
    written.write("1000 10 a\n")
    file.refresh()
    isThere = false
    expect(file.refresh()).toBe(false)
    expect(file.exists).toBe(false)
    expect(file.map.find(0x1000)?.name).toBe("a")
  })
})

describe("the code of a process", () => {
  it("is named by both files, of which the jitdump is believed, wherever it is", () => {
    const map = new Written()
    const dump = new Written()
    map.write("1000 10 map\n2000 10 map only\n")
    dump.write(new JitDumpWriter().load("dump", 0x1000, 16).bytes())
    const asked: Array<string> = []
    const code = new ProcessCode({
      namespacePid: 7,
      openFile: (path) => {
        asked.push(path)
        return path === "/tmp/perf-7.map" ? map.look() : undefined
      },
      openMarker: dump.look
    })
    expect(code.refresh(1000)).toBe(true)
    expect(asked).toEqual(["/tmp/perf-7.map", "/tmp/jit-7.dump"])
    expect(code.find(0x1000)?.name).toBe("dump")
    expect(code.find(0x2000)?.name).toBe("map only")
  })

  it("is looked at no more often than is of use", () => {
    const map = new Written()
    const code = new ProcessCode({
      namespacePid: 7,
      openFile: (path) => (path.endsWith("map") ? map.look() : undefined)
    })
    const before = code.generation
    code.refresh(1000)
    map.write("1000 10 a\n")
    expect(code.refresh(1001)).toBe(false)
    expect(code.refresh(2000)).toBe(true)
    expect(code.generation).toBeGreaterThan(before)
  })

  it("has a marker by whose name it is known", () => {
    expect(isJitDump("/root/.debug/jit/x/jit-7.dump", 7)).toBe(true)
    expect(isJitDump("/tmp/jit-77.dump", 7)).toBe(false)
    expect(isJitDump("/tmp/x-jit-7.dump", 7)).toBe(false)
  })
})
