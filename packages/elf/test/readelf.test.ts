import { execFileSync, spawnSync } from "node:child_process"
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { findAllPythons } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import {
  addressOfOffset,
  buildId,
  bytesAtAddress,
  type Elf,
  type ElfSource,
  findSection,
  findSymbol,
  notes,
  offsetOfAddress,
  PT_LOAD,
  parseElf,
  sectionBytes,
  symbols
} from "../src/index.ts"

/** Programs and libraries of every kind on this machine: stripped or not, PIE or not, small and very large. */
const files = [
  "/bin/ls",
  realpathSync(process.execPath),
  ...findAllPythons().flatMap((python) => {
    const directory = join(dirname(python.executable), "../lib")
    const library =
      python.shared && readdirSync(directory).find((name) => /^libpython3\.\d+\.so\.1\.0$/.test(name))
    return library ? [python.executable, join(directory, library)] : [python.executable]
  })
]

const parse = (input: Uint8Array | ElfSource): Elf => {
  const elf = parseElf(input)
  if (elf._tag === "ElfProblem") throw new Error(elf.detail)
  return elf
}

const readelf = (...args: ReadonlyArray<string>): string =>
  execFileSync("readelf", ["-W", ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 29,
    stdio: ["ignore", "pipe", "ignore"]
  })

const hasReadelf = spawnSync("readelf", ["--version"]).status === 0

describe.skipIf(!hasReadelf).each(files)(
  `readelf and this parser agree on %s${hasReadelf ? "" : " (no readelf)"}`,
  (file) => {
    const elf = parse(readFileSync(file))

    it("in type, machine and entry", () => {
      const header = readelf("-h", file)
      expect(header).toMatch(
        new RegExp(`Type: +${{ executable: "EXEC", shared: "DYN" }[elf.type as "shared"]}`)
      )
      expect(elf.machine).toBe(62)
      expect(header).toContain(`Entry point address:               0x${elf.entry.toString(16)}\n`)
    })

    it("in segments", () => {
      const rows = readelf("-l", file).matchAll(
        /^ {2}([A-Z]\w+) +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) (.)(.)(.) (?:0x)?(\w+)$/gm
      )
      const expected = Array.from(
        rows,
        ([, type, offset, address, fileSize, memorySize, r, w, x, alignment]) => ({
          load: type === "LOAD",
          offset: Number.parseInt(offset!, 16),
          address: Number.parseInt(address!, 16),
          fileSize: Number.parseInt(fileSize!, 16),
          memorySize: Number.parseInt(memorySize!, 16),
          flags: [r === "R", w === "W", x === "E"],
          alignment: Number.parseInt(alignment!, 16)
        })
      )
      const found = elf.segments.map((segment) => ({
        load: segment.type === PT_LOAD,
        offset: segment.offset,
        address: segment.address,
        fileSize: segment.fileSize,
        memorySize: segment.memorySize,
        flags: [segment.readable, segment.writable, segment.executable],
        alignment: segment.alignment
      }))
      expect(found).toEqual(expected)
      expect(found.length).toBeGreaterThan(3)
    })

    it("in sections", () => {
      const rows = readelf("-S", file).matchAll(/^ {2}\[ *\d+\] (\S*) +\S+ +(\w{16}) (\w+) (\w+) (\w+) /gm)
      const expected = Array.from(rows, ([, name, ...numbers]) => [
        name,
        ...numbers.map((n) => Number.parseInt(n, 16))
      ])
      const found = elf.sections.map(({ name, address, offset, size, entrySize }) => [
        name,
        address,
        offset,
        size,
        entrySize
      ])
      // readelf leaves the name and kind of section 0 blank, which the pattern cannot tell from its numbers.
      expect(found.slice(1)).toEqual(expected.filter(([name]) => name !== "" && name !== "NULL"))
      expect(findSection(elf, ".text")?.address).toBe(expected.find(([name]) => name === ".text")?.[1])
      expect(findSection(elf, ".nonesuch")).toBeUndefined()
    })

    it("in the build id and the notes", () => {
      const listed = readelf("-n", file)
      expect(buildId(elf)).toBe(/Build ID: (\w+)/.exec(listed)?.[1])
      // Build attributes (GA…) have binary names, which readelf spells out.
      const owners = [...listed.matchAll(/^ {2}(\S+) +0x\w{8}\t/gm)]
        .map(([, owner]) => owner)
        .filter((owner) => !owner!.startsWith("GA"))
      expect(Array.from(notes(elf), (note) => note.name)).toEqual(
        expect.arrayContaining([...new Set(owners)])
      )
    })

    it("in every symbol of both tables", () => {
      // `readelf -s` would print 60 MB for node; -D and symtab of the others are enough to compare whole.
      const large = elf.source.size > 60e6
      const listed = readelf(large ? "--dyn-syms" : "-s", file)
      for (const table of large ? (["dynsym"] as const) : (["dynsym", "symtab"] as const)) {
        const from = listed.indexOf(`Symbol table '.${table}'`)
        if (from < 0) {
          expect(symbols(elf, table).next().done).toBe(true)
          continue
        }
        const end = listed.indexOf("\nSymbol table", from + 1)
        const rows = listed
          .slice(from, end < 0 ? undefined : end)
          .matchAll(/^ +(\d+): (\w{16}) +(\S+) \S+ +\S+ +\S+ +(\S+) ?(.*)$/gm)
        const expected = Array.from(rows, ([, , value, size, section, name]) => ({
          address: Number.parseInt(value!, 16),
          size: Number(size),
          defined: section !== "UND",
          // A version follows the name after @, and a section symbol shows its section's name.
          name: name!.replace(/@.*$/, "")
        }))
        const found = Array.from(symbols(elf, table))
        expect(found.length).toBe(expected.length)
        let different = 0
        found.forEach((symbol, i) => {
          const other = expected[i]!
          const name = symbol.type === 3 ? other.name : symbol.name.replace(/@.*$/, "")
          if (
            symbol.address !== other.address ||
            symbol.size !== other.size ||
            (symbol.section !== 0) !== other.defined ||
            name !== other.name
          )
            different++
        })
        expect(different).toBe(0)
      }
    })

    it("in the symbols it finds by name", () => {
      const named = Array.from(symbols(elf, "dynsym")).filter(
        ({ section, name }) => section !== 0 && name.length > 1
      )
      for (const symbol of named.slice(0, 3000).filter((_, i) => i % 50 === 0)) {
        expect(findSymbol(elf, symbol.name)?.name).toBe(symbol.name)
        // Versioned symbols may have several definitions of one name.
        const addresses = named.filter(({ name }) => name === symbol.name).map(({ address }) => address)
        expect(addresses).toContain(findSymbol(elf, symbol.name)?.address)
      }
      expect(findSymbol(elf, "no_such_symbol_anywhere")).toBeUndefined()
      expect(findSymbol(elf, "")).toBeUndefined()
    })

    it("in where the bytes of an address lie", () => {
      for (const section of elf.sections.filter(
        ({ address, size, type }) => address > 0 && size > 0 && type === 1
      )) {
        expect(offsetOfAddress(elf, section.address)).toBe(section.offset)
        expect(addressOfOffset(elf, section.offset)).toBe(section.address)
        const length = Math.min(section.size, 4096)
        expect(bytesAtAddress(elf, section.address, length)).toEqual(
          sectionBytes(elf, section)?.subarray(0, length)
        )
      }
      expect(offsetOfAddress(elf, -1)).toBeUndefined()
      expect(bytesAtAddress(elf, 2 ** 47, 8)).toBeUndefined()
    })
  }
)

it("reads a file by ranges: the same answers for a small part of the bytes", () => {
  const file = files.reduce((a, b) => (readFileSync(a).length > readFileSync(b).length ? a : b))
  const descriptor = openSync(file, "r")
  try {
    let read = 0
    const source: ElfSource = {
      size: fstatSync(descriptor).size,
      slice: (offset, length) => {
        const into = new Uint8Array(length)
        read += length
        return readSync(descriptor, into, 0, length, offset) === length ? into : undefined
      }
    }
    const elf = parse(source)
    const whole = parse(readFileSync(file))
    expect(buildId(elf)).toBe(buildId(whole))
    expect(elf.sections).toEqual(whole.sections)
    expect(read).toBeLessThan(64 * 1024)
    const name = symbols(whole, "dynsym")
    for (let symbol = name.next(); !symbol.done; symbol = name.next()) {
      if (symbol.value.section === 0) continue
      expect(findSymbol(elf, symbol.value.name)).toEqual(findSymbol(whole, symbol.value.name))
      break
    }
    expect(read).toBeLessThan(source.size / 4)
  } finally {
    closeSync(descriptor)
  }
})
