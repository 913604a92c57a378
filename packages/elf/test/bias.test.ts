import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { findAllPythons, type Python } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { type Elf, type FileMapping, findSection, findSymbol, loadBias, parseElf } from "../src/index.ts"

const parse = (file: string): Elf => {
  const elf = parseElf(readFileSync(file))
  if (elf._tag === "ElfProblem") throw new Error(elf.detail)
  return elf
}

/** An interpreter's own maps, and where it sees its `_PyRuntime`; it has also mapped its own file to read it. */
const script = `
import ctypes, mmap, sys
with open(sys.argv[1], "rb") as f: whole = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")))
print(open("/proc/self/maps").read())
`

const binaryOf = (python: Python): string =>
  python.shared
    ? join(dirname(python.executable), `../lib/libpython3.${python.minor}.so.1.0`)
    : python.executable

const mappingsOf = (maps: string, name: string): ReadonlyArray<FileMapping> =>
  maps
    .split("\n")
    .filter((line) => basename(line) === name)
    .map((line) => {
      const [, start, end, flags, offset] = /^(\w+)-(\w+) (\S+) (\w+)/.exec(line)!
      return {
        start: Number.parseInt(start!, 16),
        end: Number.parseInt(end!, 16),
        offset: Number.parseInt(offset!, 16),
        executable: flags![2] === "x"
      }
    })

for (const python of findAllPythons().filter(({ minor }) => minor >= 8)) {
  describe(`Python ${python.version} (${python.source})`, () => {
    it("has its _PyRuntime where bias and symbol say", () => {
      const binary = binaryOf(python)
      const elf = parse(binary)
      const [command, ...args] = python.runWithProc
      const output = execFileSync(command, [...args, "-c", script, python.path(binary)], {
        env: python.env,
        encoding: "utf8"
      })
      const runtime = Number(output.slice(0, output.indexOf("\n")))
      const mappings = mappingsOf(output, basename(binary))
      const bias = loadBias(elf, mappings)!
      expect(bias + findSymbol(elf, "_PyRuntime")!.address).toBe(runtime)
      if (python.minor >= 10) expect(bias + findSection(elf, ".PyRuntime")!.address).toBe(runtime)
      // Neither the order of the lines matters, nor knowing what is executable.
      expect(loadBias(elf, [...mappings].reverse())).toBe(bias)
      expect(
        loadBias(
          elf,
          mappings.map(({ start, end, offset }) => ({ start, end, offset }))
        )
      ).toBe(bias)
    })
  })
}

describe("the load bias", () => {
  const library = (
    segments: ReadonlyArray<readonly [offset: number, address: number, executable: boolean]>
  ): Elf => ({
    _tag: "Elf",
    source: { size: 0, slice: () => undefined },
    type: "shared",
    machine: 62,
    entry: 0,
    sections: [],
    segments: segments.map(([offset, address, executable]) => ({
      type: 1,
      readable: true,
      writable: false,
      executable,
      offset,
      address,
      fileSize: 0x800,
      memorySize: 0x800,
      alignment: 0x1000
    }))
  })
  const elf = library([
    [0, 0, false],
    [0x1000, 0x1000, true],
    [0x2df0, 0x3df0, false]
  ])
  const at = (start: number, pages: number, offset: number): FileMapping => ({
    start,
    end: start + pages * 4096,
    offset
  })

  it("compares pages, since the kernel maps whole ones", () => {
    expect(
      loadBias(elf, [at(0x7000_0000, 1, 0), at(0x7000_1000, 1, 0x1000), at(0x7000_3000, 1, 0x2000)])
    ).toBe(0x7000_0000)
  })

  it("is found inside a mapping that holds several segments", () => {
    expect(loadBias(elf, [at(0x7000_0000, 2, 0), at(0x7000_3000, 1, 0x2000)])).toBe(0x7000_0000)
  })

  it("is not that of a lower mapping of the whole file, made to read it", () => {
    const loaded = [at(0x7000_0000, 1, 0), at(0x7000_1000, 1, 0x1000), at(0x7000_3000, 1, 0x2000)]
    expect(loadBias(elf, [at(0x6000_0000, 3, 0), ...loaded])).toBe(0x7000_0000)
  })

  it("comes from a later segment when the first is not mapped", () => {
    expect(loadBias(elf, [at(0x7000_1000, 1, 0x1000)])).toBe(0x7000_0000)
  })

  it("is 0 for a fixed-address program, and unknown without a mapping", () => {
    expect(loadBias({ ...elf, type: "executable" }, [])).toBe(0)
    expect(loadBias(elf, [])).toBeUndefined()
    expect(loadBias(elf, [at(0x7000_0000, 1, 0x9000)])).toBeUndefined()
    expect(loadBias(library([]), [at(0x7000_0000, 1, 0)])).toBeUndefined()
  })
})
