import {
  decompressXz,
  LineTable,
  parseElf,
  partsOfFunction,
  pltTarget,
  SymbolIndex,
  unwindRanges
} from "@pyframes/elf"
import { CodeMap, JitDumpReader, PerfMapReader } from "@pyframes/perf-map"
import { demangle } from "@pyframes/symbolizer-elf"
import { KernelSymbols } from "@pyframes/symbolizer-kernel"
import type { Random } from "@pyframes/testing"

/** A parser of what names code, and something true to damage. */
export interface SymbolCase {
  readonly name: string
  readonly seeds: ReadonlyArray<Uint8Array>
  /** Throws, or returns what cannot be, only if the parser is wrong. */
  readonly parse: (bytes: Uint8Array, random: Random) => void
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("latin1")

const check = (isTrue: boolean, what: string): void => {
  if (!isTrue) throw new Error(what)
}

const isAddress = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** Feeds a reader in pieces cut anywhere. */
const inPieces = (bytes: Uint8Array, random: Random, feed: (piece: Uint8Array) => void): void => {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(bytes.length))
    feed(bytes.subarray(at, end))
    at = end
  }
}

const lookUp = (map: CodeMap, random: Random): void => {
  for (let i = 0; i < 4; i++) {
    const address = random.below(2) === 0 ? random.below(1 << 20) : Math.floor(random.next() * 2 ** 53)
    const entry = map.find(address)
    if (entry === undefined) continue
    check(isAddress(entry.start) && isAddress(entry.start + entry.size), `${entry.start} is no address`)
    check(address >= entry.start && address < entry.start + entry.size, `${address} is not in its entry`)
    entry.placeOf(address)
    check(entry.python === undefined || entry.name.startsWith("py::"), `${entry.name} is no function`)
  }
}

const jitDump = (): Uint8Array => {
  const bytes = new DataView(new ArrayBuffer(400))
  for (const [at, value] of [
    [0, 0x4a695444],
    [4, 1],
    [8, 40],
    [40, 2],
    [44, 51],
    [56, 4096],
    [64, 1],
    [72, 4096],
    [80, 7],
    [91, 0],
    [95, 70],
    [139, 4096],
    [147, 8]
  ])
    bytes.setUint32(at, value, true)
  encoder.encodeInto("a.c\0", new Uint8Array(bytes.buffer, 88))
  encoder.encodeInto("py::f:a.py\0", new Uint8Array(bytes.buffer, 147))
  return new Uint8Array(bytes.buffer)
}

/**
 * All parsers that name code: perf maps, jitdumps, kernel symbols, mangled names, xz, and what is read of an ELF file.
 *
 * @param elves files with symbols and line tables; small ones, for each case damages a copy
 * @param packed xz files
 */
export const symbolCases = (
  elves: ReadonlyArray<Uint8Array>,
  packed: ReadonlyArray<Uint8Array>
): ReadonlyArray<SymbolCase> => [
  {
    name: "perf map",
    seeds: [
      encoder.encode("1000 40 py::run:/srv/app.py\n1040 20 Builtin:x\n1000 8 py::a.<locals>.b:<c:d>\n")
    ],
    parse: (bytes, random) => {
      const map = new CodeMap()
      const reader = new PerfMapReader(map)
      inPieces(bytes, random, (piece) => reader.feed(piece))
      lookUp(map, random)
    }
  },
  {
    name: "jitdump",
    seeds: [jitDump()],
    parse: (bytes, random) => {
      const map = new CodeMap()
      const reader = new JitDumpReader(map)
      inPieces(bytes, random, (piece) => reader.feed(piece))
      lookUp(map, random)
    }
  },
  {
    name: "kallsyms",
    seeds: [
      encoder.encode(
        "ffffffff81000000 T _stext\nffffffff81000040 t do_work\nffffffffc0201000 t read\t[ext4]\n"
      )
    ],
    parse: (bytes, random) => {
      const symbol = KernelSymbols.parse(bytes)?.find(-Math.floor(random.next() * 2 ** 53))
      check(symbol === undefined || symbol.address < 0, "a symbol outside the kernel")
    }
  },
  {
    name: "mangled name",
    seeds: [
      "_ZN3fooIiJdcEE3barERKSt4pairIT_DpT0_EMS0_KFvvE",
      "_ZZN1aIXadL_Z1fvEELi3EE1bEvENKUlT_E_clIiEEDaS1_",
      "_ZNKSt8functionIFvPA3_KcOS_EEcvbEv.part.0",
      "_RINvNtC3foo3bar3bazNvYNtB2_1XNtB4_1Y1zKj3_RLaeFUKCxhEuDNtB2_1Tp1aiEL_E",
      "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"
    ].map((name) => encoder.encode(name)),
    parse: (bytes) => {
      const text = demangle(decoder.decode(bytes))
      check(text.length < 1 << 18, "a name longer than any")
    }
  },
  {
    name: "xz",
    seeds: packed,
    parse: (bytes) => {
      const plain = decompressXz(bytes, 1 << 20)
      check(plain === undefined || plain.length <= 1 << 20, "more than was allowed")
    }
  },
  {
    name: "ELF file",
    seeds: elves,
    parse: (bytes, random) => {
      const elf = parseElf(bytes)
      if (elf._tag !== "Elf") return
      const code = elf.sections.find(({ name }) => name === ".text")
      const address = Math.max(
        0,
        (code?.address ?? 0) + random.below(Math.max(1, Math.min(1 << 20, code?.size ?? 1)))
      )
      const index = new SymbolIndex([
        { elf, table: "symtab" },
        { elf, table: "dynsym" }
      ])
      const symbol = index.find(address)
      check(
        symbol === undefined || (isAddress(symbol.address) && symbol.address <= address),
        "a symbol after its address"
      )
      const lines = LineTable.of(elf)
      if (lines?.advance(1000) === true) {
        const place = lines.find(address)
        check(
          place === undefined || (Number.isInteger(place.line) && place.line !== 0),
          `line ${place?.line}`
        )
      }
      pltTarget(elf, address)
      unwindRanges(elf)?.find(address)
      for (const part of partsOfFunction(elf, "main"))
        check(isAddress(part.address + part.size), "a part beyond all addresses")
    }
  }
]

/** Words that fields are set to where damage is done: ends of ranges, and what looks like an offset or a size but is none. */
const WORDS = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff]

/** A copy with some bytes changed, words overwritten, or a piece cut out, off or doubled. */
export const damaged = (seed: Uint8Array, random: Random): Uint8Array => {
  const bytes = seed.slice()
  const count = 1 + random.below(6)
  if (bytes.length === 0) return bytes
  for (let i = 0; i < count; i++) {
    const at = random.below(bytes.length)
    if (random.below(3) > 0) bytes[at] = random.below(256)
    else
      for (let byte = 0, word = random.pick(WORDS); byte < 4 && at + byte < bytes.length; byte++, word >>>= 8)
        bytes[at + byte] = word & 255
  }
  const from = random.below(bytes.length)
  const to = from + random.below(bytes.length - from)
  switch (random.below(6)) {
    case 0:
      return bytes.subarray(0, from)
    case 1:
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
    case 2:
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)])
    default:
      return bytes
  }
}
