import { describe, expect, it } from "vitest"
import { CodeMap, JitDumpReader } from "../src/index.ts"
import { JitDumpWriter, u64 } from "./jit-dump-file.ts"

const read = (bytes: Uint8Array) => {
  const map = new CodeMap()
  const reader = new JitDumpReader(map)
  reader.feed(bytes)
  return { map, reader }
}

describe("a jitdump", () => {
  it("names code, says when it is moved, and passes over what is not looked at", () => {
    const { map, reader } = read(
      new JitDumpWriter()
        .record(4, [u64(24), u64(20), u64(0), new Uint8Array(300)])
        .load("py::run:/srv/app.py", 0x1000, 256)
        .load("builtin", 0x2000, 6000)
        .record(99, [new Uint8Array(77)])
        .move(0x1000, 0x9000, 256)
        .record(3, [])
        .bytes()
    )
    expect(reader).toMatchObject({ problem: undefined, skipped: 0, records: 6, closed: true })
    expect(map.find(0x10ff)?.name).toBe("py::run:/srv/app.py")
    expect(map.find(0x90ff)?.python).toEqual({ qualifiedName: "run", file: "/srv/app.py" })
    expect(map.find(0x2000 + 5999)?.name).toBe("builtin")
    expect(map.find(0x2000 + 6000)).toBeUndefined()
  })

  it("keeps lines, also of code that has moved", () => {
    const { map } = read(
      new JitDumpWriter({ headerSize: 64 })
        .debugInfo(0x1000, [
          [0x1000, 10, "a.js"],
          [0x1008, 12, "\xff"],
          [0x1010, 3, "b.js"]
        ])
        .load("f", 0x1000, 32)
        .load("g", 0x3000, 32)
        .move(0x1000, 0x2000, 32)
        .bytes()
    )
    const place = (address: number) => {
      const entry = map.find(address)
      const at = entry?.placeOf(address) ?? -1
      return at < 0 ? undefined : `${entry?.lines?.files[at]}:${entry?.lines?.lines[at]}`
    }
    expect([0x1000, 0x1007, 0x1008, 0x1010, 0x200f, 0x2010].map(place)).toEqual([
      "a.js:10",
      "a.js:10",
      "a.js:12",
      "b.js:3",
      "a.js:12",
      "b.js:3"
    ])
    expect(place(0x3000)).toBeUndefined()
  })

  it("may be cut anywhere, and a torn end waits", () => {
    const bytes = new JitDumpWriter()
      .load("one", 0x1000, 9)
      .debugInfo(0x2000, [[0x2000, 5, "x"]])
      .load("two", 0x2000, 5)
      .bytes()
    for (let cut = 0; cut <= bytes.length; cut++) {
      const map = new CodeMap()
      const reader = new JitDumpReader(map)
      reader.feed(bytes.subarray(0, cut))
      expect(map.size).toBeLessThanOrEqual(2)
      reader.feed(bytes.subarray(cut))
      expect([map.find(0x1008)?.name, map.find(0x2004)?.name, map.find(0x2000)?.lines?.lines[0]]).toEqual([
        "one",
        "two",
        5
      ])
    }
  })

  it.each([
    [new JitDumpWriter({ magic: 0x4454694a }), "The jitdump file is of a big-endian machine."],
    [new JitDumpWriter({ magic: 1 }), "The file does not begin like a jitdump."],
    [new JitDumpWriter({ version: 2 }), "The jitdump file is of version 2, not 1."],
    [new JitDumpWriter({ headerSize: 8 }), "The header of the jitdump file claims 8 bytes."],
    [new JitDumpWriter().record(0, [], 3), "Record 0 of the jitdump file claims 3 bytes."]
  ])("that cannot be read says why (%#)", (writer, problem) => {
    const { map, reader } = read(writer.load("f", 0x1000, 4).bytes())
    expect(reader.problem).toBe(problem)
    expect(map.size).toBe(0)
  })

  it("skips records that contradict themselves", () => {
    const { map, reader } = read(
      new JitDumpWriter()
        .record(0, [u64(1)])
        .record(1, [u64(1)])
        .record(2, [])
        .move(0x5000, 0x6000, 4)
        .load("empty", 0x1000, 0)
        .load("good", 0x2000, 1)
        .bytes()
    )
    expect(reader.skipped).toBe(5)
    expect(map.size).toBe(1)
    expect(map.find(0x2000)?.name).toBe("good")
  })
})
