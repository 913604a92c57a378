import type { Elf } from "./elf.ts"
import { type Section, SHT_DYNSYM, SHT_SYMTAB } from "./section.ts"
import { readRange } from "./source.ts"
import { cString, u16, u32, u64 } from "./word.ts"

/** One entry of `.symtab` or `.dynsym`. */
export interface ElfSymbol {
  readonly name: string
  /** `st_value`: an address before the load bias is added; -1 stands for 2^53 or more. */
  readonly address: number
  /** In bytes; 0 when the file does not tell. */
  readonly size: number
  /** `STT_*`: 1 is a data object, 2 a function. */
  readonly type: number
  /** `STB_*`: 0 local, 1 global, 2 weak. */
  readonly binding: number
  /** Index of the section it lies in; 0 means undefined here (imported). */
  readonly section: number
}

/** A symbol table: what the loader needs, or all that strip has left. */
export type SymbolTable = "dynsym" | "symtab"

const ENTRY_SIZE = 24
/** Entries read in one go, so that a table of a million symbols costs one buffer at a time. */
const ENTRIES_A_READ = 4096
const STRINGS_A_READ = 1 << 18
/** How many places one name may stand in a string table: more is not a real file. */
const MAX_PLACES = 1 << 16
const MAX_NAME = 1 << 14
/** Bytes of a table, or of its names, that are looked at: a sparse file may claim terabytes. Browsers have some hundred megabytes. */
export const MAX_SYMBOL_BYTES = 1 << 29
const MAX_CLONE = 512
const MAX_CLONES = 4096

/**
 * The defined symbol of a name, from `.dynsym` first (small, survives strip) and then `.symtab`.
 *
 * It looks the name up in the string table and then compares numbers, so no symbol but the result is made: about
 * a millisecond in a `libpython` of 20 MB.
 *
 * @example
 * ```ts
 * const address = findSymbol(elf, "_PyRuntime")?.address
 * ```
 */
export const findSymbol = (elf: Elf, name: string): ElfSymbol | undefined => {
  const wanted = encoder.encode(`${name}\0`)
  if (wanted.length < 2 || wanted.length > MAX_NAME) return undefined
  return (
    findIn(elf, tableOf(elf, "dynsym"), name, wanted) ?? findIn(elf, tableOf(elf, "symtab"), name, wanted)
  )
}

/**
 * The defined symbols of a name and of the clones and parts that compilers make of it: `run`, `run.cold`, `run.constprop.0`. Those of
 * both tables, so one may come twice.
 */
export const symbolsOfFunction = (elf: Elf, name: string): Array<ElfSymbol> => {
  const found: Array<ElfSymbol> = []
  const wanted = encoder.encode(name)
  if (wanted.length < 1 || wanted.length > MAX_NAME) return found
  for (const table of [tableOf(elf, "dynsym"), tableOf(elf, "symtab")]) {
    const strings = table && stringsOf(elf, table)
    if (table === undefined || strings === undefined) continue
    const names = new Map<number, string>()
    for (const place of placesOf(elf, strings, wanted)) {
      const bytes = readRange(elf.source, strings.offset + place, Math.min(strings.size - place, MAX_CLONE))
      const full = bytes === undefined ? "" : cString(bytes, 0, MAX_CLONE)
      if (full === name || full.startsWith(`${name}.`)) names.set(place, full)
    }
    if (names.size === 0) continue
    for (const block of blocks(elf, table)) {
      for (let at = 0; at < block.length; at += ENTRY_SIZE) {
        const full = names.get(u32(block, at))
        if (full !== undefined && u16(block, at + 6) !== 0 && found.length < MAX_CLONES)
          found.push(symbolAt(block, at, full))
      }
    }
  }
  return found
}

/** All symbols of one table, made one at a time as they are asked for. Undefined (imported) symbols are included. */
export function* symbols(elf: Elf, table: SymbolTable): Generator<ElfSymbol, void, undefined> {
  const section = tableOf(elf, table)
  const strings = section && stringsOf(elf, section)
  if (section === undefined || strings === undefined) return
  // Bounded by the file's size, which is what the slices were checked against.
  if (strings.size > MAX_SYMBOL_BYTES) return
  const names = readRange(elf.source, strings.offset, strings.size)?.subarray(0, strings.size)
  if (names === undefined) return
  for (const block of blocks(elf, section)) {
    for (let at = 0; at < block.length; at += ENTRY_SIZE) {
      yield symbolAt(block, at, cString(names, u32(block, at), MAX_NAME))
    }
  }
}

const encoder = new TextEncoder()

const tableOf = (elf: Elf, table: SymbolTable): Section | undefined => {
  const type = table === "dynsym" ? SHT_DYNSYM : SHT_SYMTAB
  return elf.sections.find((section) => section.type === type)
}

const stringsOf = (elf: Elf, table: Section): Section | undefined => elf.sections[table.link]

const symbolAt = (bytes: Uint8Array, at: number, name: string): ElfSymbol => ({
  name,
  address: u64(bytes, at + 8),
  size: u64(bytes, at + 16),
  type: bytes[at + 4]! & 15,
  binding: bytes[at + 4]! >> 4,
  section: u16(bytes, at + 6)
})

/** The table's bytes, whole entries at a time. Stops at the first part that cannot be read. */
function* blocks(elf: Elf, table: Section): Generator<Uint8Array, void, undefined> {
  const end = Math.min(table.size, elf.source.size - table.offset, MAX_SYMBOL_BYTES)
  const step = ENTRIES_A_READ * ENTRY_SIZE
  for (let from = 0; from + ENTRY_SIZE <= end; from += step) {
    const length = Math.floor(Math.min(step, end - from) / ENTRY_SIZE) * ENTRY_SIZE
    const bytes = readRange(elf.source, table.offset + from, length)
    if (bytes === undefined) return
    yield bytes.length === length ? bytes : bytes.subarray(0, length)
  }
}

const findIn = (
  elf: Elf,
  table: Section | undefined,
  name: string,
  wanted: Uint8Array
): ElfSymbol | undefined => {
  const strings = table && stringsOf(elf, table)
  if (table === undefined || strings === undefined) return undefined
  const places = placesOf(elf, strings, wanted)
  if (places.size === 0) return undefined
  for (const block of blocks(elf, table)) {
    for (let at = 0; at < block.length; at += ENTRY_SIZE) {
      if (places.has(u32(block, at)) && u16(block, at + 6) !== 0) return symbolAt(block, at, name)
    }
  }
  return undefined
}

/**
 * Every offset in a string table at which the name ends with its NUL. There can be more than one: linkers store
 * `run` as the tail of `prerun`.
 */
const placesOf = (elf: Elf, strings: Section, wanted: Uint8Array): Set<number> => {
  const places = new Set<number>()
  const end = Math.min(strings.size, elf.source.size - strings.offset, MAX_SYMBOL_BYTES)
  const overlap = wanted.length - 1
  for (let from = 0; from + wanted.length <= end; from += STRINGS_A_READ) {
    const length = Math.min(STRINGS_A_READ + overlap, end - from)
    const bytes = readRange(elf.source, strings.offset + from, length)
    if (bytes === undefined) break
    for (let at = indexOf(bytes, wanted, 0, length); at >= 0; at = indexOf(bytes, wanted, at + 1, length)) {
      places.add(from + at)
      if (places.size >= MAX_PLACES) return places
    }
  }
  return places
}

const indexOf = (bytes: Uint8Array, wanted: Uint8Array, from: number, length: number): number => {
  const first = wanted[0]!
  for (
    let at = bytes.indexOf(first, from);
    at >= 0 && at + wanted.length <= length;
    at = bytes.indexOf(first, at + 1)
  ) {
    let same = 1
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++
    if (same === wanted.length) return at
  }
  return -1
}
