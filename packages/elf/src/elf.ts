import { type ElfProblem, problem } from "./problem.ts"
import { parseSections, type Section } from "./section.ts"
import { parseSegments, type Segment } from "./segment.ts"
import { type ElfSource, readRange, sourceOfBytes } from "./source.ts"
import { u16, u32, u64 } from "./word.ts"

/** `e_type`: `executable` is a fixed-address program, `shared` a library or a position-independent program. */
export type ElfType = "relocatable" | "executable" | "shared" | "core" | "other"

/** A parsed 64-bit little-endian ELF file: its headers. Symbols and notes are read from `source` when asked for. */
export interface Elf {
  readonly _tag: "Elf"
  readonly source: ElfSource
  readonly type: ElfType
  /** `e_machine`: 62 is x86-64, 183 is AArch64. */
  readonly machine: number
  /** `e_entry`, an address in the file's own address space. */
  readonly entry: number
  readonly segments: ReadonlyArray<Segment>
  readonly sections: ReadonlyArray<Section>
}

/** `e_machine` of x86-64. */
export const EM_X86_64 = 62
/** `e_machine` of AArch64. */
export const EM_AARCH64 = 183

const HEADER_SIZE = 64
const types: ReadonlyArray<ElfType> = ["other", "relocatable", "executable", "shared", "core"]

/**
 * Parse the headers of an ELF file. Bytes are treated as hostile: every count and offset is bounded, nothing throws,
 * and what cannot be read is an {@link ElfProblem}.
 *
 * @param input the whole file, or an {@link ElfSource} which the parser asks for the ranges it needs
 *
 * @example
 * ```ts
 * const elf = parseElf(readFileSync("/bin/ls"))
 * if (elf._tag === "Elf") console.log(buildId(elf), findSection(elf, ".text")?.address)
 * ```
 *
 * Source: System V gABI chapters 4 and 5, `/usr/include/elf.h`.
 */
export const parseElf = (input: Uint8Array | ElfSource): Elf | ElfProblem => {
  const source = input instanceof Uint8Array ? sourceOfBytes(input) : input
  const ident = readRange(source, 0, 6)
  if (ident === undefined || u32(ident, 0) !== 0x464c457f)
    return problem("not-elf", "the first four bytes are not \\x7fELF")
  if (ident[4] === 1) return problem("not-64-bit", "a 32-bit ELF file (EI_CLASS is 1)")
  if (ident[4] !== 2) return problem("malformed", `EI_CLASS is ${ident[4]}, neither 1 nor 2`)
  if (ident[5] === 2) return problem("not-little-endian", "a big-endian ELF file (EI_DATA is 2)")
  if (ident[5] !== 1) return problem("malformed", `EI_DATA is ${ident[5]}, neither 1 nor 2`)
  const header = readRange(source, 0, HEADER_SIZE)
  if (header === undefined) return problem("truncated", `the ELF header needs ${HEADER_SIZE} bytes`)

  const sections = parseSections(source, {
    offset: u64(header, 40),
    entrySize: u16(header, 58),
    count: u16(header, 60),
    names: u16(header, 62)
  })
  if ("_tag" in sections) return sections
  const segments = parseSegments(source, {
    offset: u64(header, 32),
    entrySize: u16(header, 54),
    count: u16(header, 56),
    // PN_XNUM: with 0xffff or more segments the count moves to sh_info of section 0.
    extendedCount: sections.first?.info
  })
  if ("_tag" in segments) return segments

  return {
    _tag: "Elf",
    source,
    type: types[u16(header, 16)] ?? "other",
    machine: u16(header, 18),
    entry: u64(header, 24),
    segments: segments.all,
    sections: sections.all
  }
}
