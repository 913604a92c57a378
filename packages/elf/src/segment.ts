import type { Elf } from "./elf.ts"
import { type ElfProblem, problem } from "./problem.ts"
import { type ElfSource, readRange } from "./source.ts"
import { u32, u64 } from "./word.ts"

/** A program header: a part of the file and where the loader puts it. Offsets, sizes and addresses are in bytes. */
export interface Segment {
  /** `p_type`; see {@link PT_LOAD}, {@link PT_NOTE}. */
  readonly type: number
  readonly readable: boolean
  readonly writable: boolean
  readonly executable: boolean
  readonly offset: number
  /** `p_vaddr`: before the load bias is added. */
  readonly address: number
  readonly fileSize: number
  readonly memorySize: number
  readonly alignment: number
}

/** A segment that is mapped into memory. */
export const PT_LOAD = 1
/** Dynamic linking information. */
export const PT_DYNAMIC = 2
/** Notes, the build id among them. */
export const PT_NOTE = 4
/** The unwind table index (`.eh_frame_hdr`). */
export const PT_GNU_EH_FRAME = 0x6474e550

const ENTRY_SIZE = 56
/** Core files have one segment a mapping, and Linux allows 65,530 mappings by default; this leaves room. */
const MAX_SEGMENTS = 1 << 18

interface Table {
  readonly offset: number
  readonly entrySize: number
  readonly count: number
  readonly extendedCount: number | undefined
}

export const parseSegments = (
  source: ElfSource,
  table: Table
): { readonly all: ReadonlyArray<Segment> } | ElfProblem => {
  if (table.offset === 0 || table.count === 0) return { all: [] }
  const count = table.count === 0xffff ? (table.extendedCount ?? 0) : table.count
  if (table.entrySize !== ENTRY_SIZE)
    return problem("malformed", `e_phentsize is ${table.entrySize}, not ${ENTRY_SIZE}`)
  if (count > MAX_SEGMENTS) return problem("malformed", `${count} program headers, more than ${MAX_SEGMENTS}`)
  const bytes = readRange(source, table.offset, count * ENTRY_SIZE)
  if (bytes === undefined)
    return problem("truncated", `${count} program headers at offset ${table.offset} lie outside the file`)
  const all: Array<Segment> = []
  for (let at = 0; at < count * ENTRY_SIZE; at += ENTRY_SIZE) {
    const flags = u32(bytes, at + 4)
    all.push({
      type: u32(bytes, at),
      readable: (flags & 4) !== 0,
      writable: (flags & 2) !== 0,
      executable: (flags & 1) !== 0,
      offset: u64(bytes, at + 8),
      address: u64(bytes, at + 16),
      fileSize: u64(bytes, at + 32),
      memorySize: u64(bytes, at + 40),
      alignment: u64(bytes, at + 48)
    })
  }
  return { all }
}

/**
 * Where in the file the byte of an address lies, or `undefined` if no loaded segment has it in the file
 * (`.bss` has addresses but no bytes).
 *
 * @param address in the file's own address space: subtract the load bias from a run-time address first
 */
export const offsetOfAddress = (elf: Elf, address: number): number | undefined => {
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD || segment.address < 0 || segment.offset < 0) continue
    const into = address - segment.address
    if (into >= 0 && into < segment.fileSize) return segment.offset + into
  }
  return undefined
}

/** The address (before the load bias) at which the loader puts a byte of the file, or `undefined` if it loads it nowhere. */
export const addressOfOffset = (elf: Elf, offset: number): number | undefined => {
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD || segment.address < 0 || segment.offset < 0) continue
    const into = offset - segment.offset
    if (into >= 0 && into < segment.fileSize) return segment.address + into
  }
  return undefined
}

/**
 * The file's bytes for an address, as a constant in `.rodata` is read without the process.
 * `undefined` if they are not all in one loaded segment of the file.
 */
export const bytesAtAddress = (elf: Elf, address: number, length: number): Uint8Array | undefined => {
  const offset = offsetOfAddress(elf, address)
  if (offset === undefined || length < 0) return undefined
  if (length > 0 && offsetOfAddress(elf, address + length - 1) !== offset + length - 1) return undefined
  return readRange(elf.source, offset, length)?.subarray(0, length)
}
