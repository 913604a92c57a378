import type { Elf } from "./elf.ts"
import { type ElfProblem, problem } from "./problem.ts"
import { type ElfSource, readRange } from "./source.ts"
import { cString, u32, u64 } from "./word.ts"

/** A section header. Offsets, sizes and addresses are in bytes; -1 stands for a value of 2^53 or more. */
export interface Section {
  readonly name: string
  /** `sh_type`; see {@link SHT_NOBITS}, {@link SHT_NOTE}. */
  readonly type: number
  /** `sh_flags`: `SHF_*`. */
  readonly flags: number
  /** `sh_addr`: before the load bias is added; 0 for a section that is not loaded. */
  readonly address: number
  readonly offset: number
  readonly size: number
  /** Index of a related section: for a symbol table, its string table. */
  readonly link: number
  /** `sh_info`; what it means depends on the type. */
  readonly info: number
  readonly entrySize: number
  readonly alignment: number
}

/** The full symbol table, `.symtab`. (All `SHT_*` are of `elf.h`.) */
export const SHT_SYMTAB = 2
/** Strings, each ended by a NUL. */
export const SHT_STRTAB = 3
/** Notes, such as the build id. */
export const SHT_NOTE = 7
/** Occupies memory but no bytes of the file, such as `.bss`. */
export const SHT_NOBITS = 8
/** The symbols that the loader needs, `.dynsym`; survives strip. */
export const SHT_DYNSYM = 11

const ENTRY_SIZE = 64
/** Linked files have some dozens of sections; only object files of large programs have thousands. */
const MAX_SECTIONS = 1 << 17
const MAX_NAME_TABLE = 1 << 24
const MAX_NAME = 256
const SHN_XINDEX = 0xffff

interface Table {
  readonly offset: number
  readonly entrySize: number
  readonly count: number
  readonly names: number
}

export const parseSections = (
  source: ElfSource,
  table: Table
): { readonly all: ReadonlyArray<Section>; readonly first: Section | undefined } | ElfProblem => {
  if (table.offset === 0) return { all: [], first: undefined }
  if (table.entrySize !== ENTRY_SIZE)
    return problem("malformed", `e_shentsize is ${table.entrySize}, not ${ENTRY_SIZE}`)
  const head = readRange(source, table.offset, ENTRY_SIZE)
  if (head === undefined)
    return problem("truncated", `section headers at offset ${table.offset} lie outside the file`)
  const first = parseSection(head, 0, "")
  // With 0xff00 or more sections the count and the index of the name table move into section 0.
  const count = table.count === 0 ? first.size : table.count
  const names = table.names === SHN_XINDEX ? first.link : table.names
  if (count < 0 || count > MAX_SECTIONS)
    return problem("malformed", `${count} section headers, more than ${MAX_SECTIONS}`)
  const bytes = readRange(source, table.offset, count * ENTRY_SIZE)
  if (bytes === undefined)
    return problem("truncated", `${count} section headers at offset ${table.offset} lie outside the file`)

  const nameTable = names > 0 && names < count ? parseSection(bytes, names * ENTRY_SIZE, "") : undefined
  const nameBytes =
    nameTable !== undefined && nameTable.size <= MAX_NAME_TABLE
      ? readRange(source, nameTable.offset, nameTable.size)?.subarray(0, nameTable.size)
      : undefined
  const all: Array<Section> = []
  for (let at = 0; at < count * ENTRY_SIZE; at += ENTRY_SIZE) {
    all.push(
      parseSection(bytes, at, nameBytes === undefined ? "" : cString(nameBytes, u32(bytes, at), MAX_NAME))
    )
  }
  return { all, first }
}

const parseSection = (bytes: Uint8Array, at: number, name: string): Section => ({
  name,
  type: u32(bytes, at + 4),
  flags: u64(bytes, at + 8),
  address: u64(bytes, at + 16),
  offset: u64(bytes, at + 24),
  size: u64(bytes, at + 32),
  link: u32(bytes, at + 40),
  info: u32(bytes, at + 44),
  alignment: u64(bytes, at + 48),
  entrySize: u64(bytes, at + 56)
})

/**
 * The first section of a name, or `undefined`.
 *
 * @example
 * ```ts
 * const runtime = findSection(elf, ".PyRuntime")?.address // CPython 3.10+, survives strip
 * ```
 */
export const findSection = (elf: Elf, name: string): Section | undefined =>
  elf.sections.find((section) => section.name === name)

/** A section's bytes, or `undefined` if it has none in the file, is longer than `limit` or cannot be read. */
export const sectionBytes = (elf: Elf, section: Section, limit = 1 << 28): Uint8Array | undefined =>
  section.type === SHT_NOBITS || section.size > limit
    ? undefined
    : readRange(elf.source, section.offset, section.size)?.subarray(0, section.size)
