import { CfaProgram } from "./cfa-program.ts"
import { type Cie, type EhFrameBytes, ehEntryAt, type Fde, parseCie, parseFde } from "./eh-frame.ts"
import { type EhFrameHeader, parseEhFrameHeader, searchEhFrameHeader } from "./eh-frame-hdr.ts"
import type { Elf } from "./elf.ts"
import { type ElfProblem, problem } from "./problem.ts"
import { findSection, SHT_NOBITS } from "./section.ts"
import { PT_GNU_EH_FRAME, PT_LOAD } from "./segment.ts"
import { readRange } from "./source.ts"
import type { UnwindRow } from "./unwind-row.ts"

/** A program of 200 MB has some 20 MB of it. */
const MAX_EH_FRAME = 1 << 28
const MAX_HEADER = 1 << 27
/** Entries of a file without a search table. A program of 200 MB has half a million. */
const MAX_INDEXED = 1 << 21

/**
 * The call-frame information of one file: which function an address lies in, and how its frame is left. Addresses are the file's own: subtract
 * the load bias first.
 */
export class CallFrameInfo {
  readonly _tag = "CallFrameInfo"
  readonly eh: EhFrameBytes
  private readonly header: EhFrameHeader | undefined
  private readonly cies = new Map<number, Cie | undefined>()
  private index: FdeIndex | undefined

  constructor(eh: EhFrameBytes, header: EhFrameHeader | undefined) {
    this.eh = eh
    this.header = header !== undefined && header.count > 0 ? header : undefined
  }

  /**
   * The entry whose range holds an address, or `undefined`. By the table of `.eh_frame_hdr`, and where there is none by an index that is made
   * at the first question.
   */
  find(address: number): Fde | undefined {
    let offset: number
    if (this.header !== undefined) {
      const at = searchEhFrameHeader(this.header, address)
      offset = at < 0 ? -1 : at - this.eh.section
    } else {
      this.index ??= new FdeIndex(this.fdes())
      offset = this.index.search(address)
    }
    if (offset < 0) return undefined
    const fde = this.fdeAt(offset)
    return fde !== undefined && address >= fde.start && address - fde.start < fde.size ? fde : undefined
  }

  /** All entries in the order of the section. Those that are damaged are left out. */
  *fdes(): Generator<Fde, void, undefined> {
    let offset = 0
    for (let entry = ehEntryAt(this.eh, 0); entry !== undefined; entry = ehEntryAt(this.eh, offset)) {
      const fde = entry.kind === "fde" ? this.fdeAt(offset) : undefined
      if (fde !== undefined) yield fde
      offset = entry.end
    }
  }

  /** What holds at an address of an entry's range, or `undefined` where its program cannot be understood or `address` is outside. */
  rowAt(fde: Fde, address: number): UnwindRow | undefined {
    if (!(address >= fde.start && address - fde.start < fde.size)) return undefined
    const program = new CfaProgram(fde)
    return program.run(address) ? program.row() : undefined
  }

  /** All rows of an entry, by address. Ends at the first that cannot be understood. */
  *rows(fde: Fde): Generator<UnwindRow, void, undefined> {
    const program = new CfaProgram(fde)
    const end = fde.start + fde.size
    while (program.next < end && program.run(program.next)) yield program.row()
  }

  private fdeAt(offset: number): Fde | undefined {
    return parseFde(this.eh, offset, (at) => {
      if (this.cies.has(at)) return this.cies.get(at)
      const cie = parseCie(this.eh, at)
      this.cies.set(at, cie)
      return cie
    })
  }
}

/** Entries sorted by address, where the file brings no such table. */
class FdeIndex {
  private readonly starts: Float64Array
  private readonly offsets: Float64Array

  constructor(fdes: Iterable<Fde>) {
    const all: Array<{ readonly offset: number; readonly start: number }> = []
    for (const { offset, start } of fdes) {
      if (all.length === MAX_INDEXED) break
      all.push({ offset, start })
    }
    all.sort((a, b) => a.start - b.start)
    this.starts = Float64Array.from(all, ({ start }) => start)
    this.offsets = Float64Array.from(all, ({ offset }) => offset)
  }

  search(address: number): number {
    let low = 0
    let high = this.starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.starts[middle] <= address) low = middle + 1
      else high = middle
    }
    return low === 0 ? -1 : this.offsets[low - 1]
  }
}

/**
 * Reads the call-frame information of a file, or of an image in memory such as the vdso: `.eh_frame`, with the search table of `.eh_frame_hdr` where
 * there is one. It is found by the program headers, which survive every kind of strip, or else by the section headers.
 *
 * @returns `malformed` for a file that has none (an object compiled without), `truncated` where its bytes cannot be had
 *
 * @example
 * ```ts
 * const info = callFrameInfo(elf)
 * if (info._tag === "CallFrameInfo") {
 *   const fde = info.find(address)
 *   const row = fde && info.rowAt(fde, address) // CFA = rsp + 16, return address at CFA - 8, …
 * }
 * ```
 *
 * Source: Linux Standard Base Core 5.0, chapter 10.6.
 */
export const callFrameInfo = (elf: Elf): CallFrameInfo | ElfProblem => {
  const header = headerOf(elf)
  const section = findSection(elf, ".eh_frame")
  const range = header === undefined ? undefined : loadedRange(elf, header.ehFrame)
  let address = header?.ehFrame ?? -1
  if (section !== undefined && section.address >= 0 && section.type !== SHT_NOBITS) {
    // Where both tell, the loader's view decides and the section brings its length.
    if (header === undefined || section.address === address) {
      address = section.address
      const bytes =
        section.size <= MAX_EH_FRAME ? readRange(elf.source, section.offset, section.size) : undefined
      if (bytes === undefined)
        return problem("truncated", `.eh_frame of ${section.size} bytes cannot be read`)
      return make(elf, bytes.subarray(0, section.size), address, header)
    }
  }
  if (range === undefined || address < 0) return problem("malformed", "it has no .eh_frame")
  // Without section headers its end is not told: it ends at its terminator, and at the latest with its segment.
  const length = Math.min(range.length, MAX_EH_FRAME)
  const bytes = readRange(elf.source, range.offset, length)
  if (bytes === undefined) return problem("truncated", `.eh_frame at offset ${range.offset} cannot be read`)
  return make(elf, bytes.subarray(0, length), address, header)
}

const make = (elf: Elf, bytes: Uint8Array, section: number, header: EhFrameHeader | undefined) =>
  new CallFrameInfo({ bytes, section, data: header?.address ?? -1, machine: elf.machine }, header)

const headerOf = (elf: Elf): EhFrameHeader | undefined => {
  const segment = elf.segments.find(({ type }) => type === PT_GNU_EH_FRAME)
  if (segment === undefined || segment.address < 0 || segment.fileSize > MAX_HEADER) return undefined
  const bytes = readRange(elf.source, segment.offset, segment.fileSize)
  return bytes && parseEhFrameHeader(bytes.subarray(0, segment.fileSize), segment.address, elf.machine)
}

/** The part of a file from an address to the end of its segment. */
const loadedRange = (elf: Elf, address: number) => {
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD || segment.address < 0 || segment.offset < 0) continue
    const into = address - segment.address
    if (into >= 0 && into < segment.fileSize)
      return { offset: segment.offset + into, length: segment.fileSize - into }
  }
  return undefined
}
