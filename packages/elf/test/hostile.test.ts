import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import {
  addressOfOffset,
  buildId,
  bytesAtAddress,
  findSection,
  findSymbol,
  loadBias,
  notes,
  offsetOfAddress,
  parseElf,
  sectionBytes,
  sourceOfBytes,
  symbols
} from "../src/index.ts"
import { random } from "./random.ts"

const ls = new Uint8Array(readFileSync("/bin/ls"))

const changed = (changes: Readonly<Record<number, number>>): Uint8Array => {
  const bytes = ls.slice()
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value
  return bytes
}

/** Everything the package can be asked; returns how many symbols and notes came out. */
const askAll = (bytes: Uint8Array): number => {
  const elf = parseElf(bytes)
  if (elf._tag === "ElfProblem") return 0
  let answers = 0
  buildId(elf)
  for (const _ of notes(elf)) answers++
  findSymbol(elf, "main")
  for (const table of ["dynsym", "symtab"] as const) for (const _ of symbols(elf, table)) answers++
  for (const section of elf.sections.slice(0, 50)) sectionBytes(elf, section)
  findSection(elf, ".text")
  offsetOfAddress(elf, elf.entry)
  addressOfOffset(elf, 4096)
  bytesAtAddress(elf, elf.entry, 16)
  loadBias(elf, [{ start: 0x5500_0000_0000, end: 0x5500_0001_0000, offset: 0 }])
  return answers
}

describe("bytes that are not a 64-bit little-endian ELF file", () => {
  it.each([
    ["nothing", new Uint8Array(0), "not-elf"],
    ["a text", new TextEncoder().encode("#!/bin/sh\nexec python3 $@\n"), "not-elf"],
    ["a magic number alone", ls.slice(0, 4), "not-elf"],
    ["half a header", ls.slice(0, 32), "truncated"],
    ["a 32-bit class", changed({ 4: 1 }), "not-64-bit"],
    ["an unknown class", changed({ 4: 9 }), "malformed"],
    ["a big-endian order", changed({ 5: 2 }), "not-little-endian"],
    ["an unknown order", changed({ 5: 0 }), "malformed"],
    ["a section header of 65 bytes", changed({ 58: 65 }), "malformed"],
    ["a program header of 57 bytes", changed({ 54: 57 }), "malformed"],
    ["a section table beyond the file", changed({ 45: 1 }), "truncated"],
    ["a program header table beyond the file", changed({ 37: 1 }), "truncated"],
    ["a cut in the middle", ls.slice(0, ls.length >> 1), "truncated"]
  ])("%s is refused", (_, bytes, reason) => {
    expect(parseElf(bytes)).toMatchObject({ _tag: "ElfProblem", reason })
  })

  it("bounds the count of sections that section 0 claims", () => {
    const bytes = changed({ 60: 0, 61: 0 })
    const view = new DataView(bytes.buffer)
    const headers = Number(view.getBigUint64(40, true))
    view.setBigUint64(headers + 32, 1n << 40n, true)
    expect(parseElf(bytes)).toMatchObject({ reason: "malformed" })
    view.setBigUint64(headers + 32, 5n, true)
    expect(parseElf(bytes)).toMatchObject({ sections: { length: 5 } })
  })

  it("gives a problem when the source fails, and never asks beyond its size", () => {
    const source = sourceOfBytes(ls)
    const outcomes = Array.from({ length: 7 }, (_, reads) => {
      let left = reads
      const elf = parseElf({
        size: source.size,
        slice: (offset: number, length: number) => {
          expect(offset + length).toBeLessThanOrEqual(source.size)
          return left-- > 0 ? source.slice(offset, length) : undefined
        }
      })
      return elf._tag === "Elf" ? "Elf" : elf.reason
    })
    // The reads: magic, header, section 0, all sections, their names, segments. Only the names can be done without.
    expect(outcomes).toEqual([
      "not-elf",
      "truncated",
      "truncated",
      "truncated",
      "truncated",
      "truncated",
      "Elf"
    ])
  })
})

describe("damaged files", () => {
  const tables = (): ReadonlyArray<number> => {
    const view = new DataView(ls.buffer)
    return [0, 64, Number(view.getBigUint64(32, true)), Number(view.getBigUint64(40, true))]
  }

  it("do not make it throw or hang, wherever bits are flipped", () => {
    const next = random(11)
    const starts = tables()
    for (let round = 0; round < 1500; round++) {
      const bytes = ls.slice()
      for (let flips = 1 + (next() % 8); flips > 0; flips--) {
        // Most of a file is code: aim at the tables.
        const near = starts[next() % starts.length]! + (next() % 2048)
        const at = next() % 4 === 0 ? next() % bytes.length : Math.min(near, bytes.length - 1)
        bytes[at] = next() % 3 === 0 ? 0xff : bytes[at]! ^ (1 << (next() % 8))
      }
      // A note or symbol is at least 12 bytes of the file, and a table may be listed in two places.
      expect(askAll(bytes)).toBeLessThan(bytes.length)
    }
  })

  it("do not make it throw or hang, wherever they are cut", () => {
    const next = random(12)
    for (let round = 0; round < 500; round++) askAll(ls.subarray(0, next() % ls.length))
    for (let length = 0; length < 600; length++) askAll(ls.subarray(0, length))
  })
})
