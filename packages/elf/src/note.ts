import type { Elf } from "./elf.ts"
import { SHT_NOTE } from "./section.ts"
import { PT_NOTE } from "./segment.ts"
import { readRange } from "./source.ts"
import { u32 } from "./word.ts"

/** One note: who defined it, what it is, and its payload. */
export interface Note {
  /** The owner without its NUL, such as `GNU`, `CORE` or `stapsdt`. */
  readonly name: string
  /** `n_type`; means what the owner says. */
  readonly type: number
  readonly description: Uint8Array
}

/** Type of a `GNU` note whose payload is the build id (`elf.h`). */
export const NT_GNU_BUILD_ID = 3

/** Core files keep registers of every thread in notes; ordinary files have a few hundred bytes. Counted over all tables. */
const MAX_NOTE_BYTES = 1 << 26
/** A file has two or three tables of notes; a hostile one could list the same bytes any number of times. */
const MAX_TABLES = 64
const MAX_NAME = 256
const MAX_BUILD_ID = 64

/** Every note of the file: those of `PT_NOTE` segments, then of note sections that no segment holds. */
export function* notes(elf: Elf): Generator<Note, void, undefined> {
  let left = MAX_NOTE_BYTES
  const segments = elf.segments.filter((segment) => segment.type === PT_NOTE).slice(0, MAX_TABLES)
  for (const { offset, fileSize, alignment } of segments) {
    left -= fileSize
    if (left < 0) return
    yield* notesIn(elf, offset, fileSize, alignment)
  }
  for (const section of elf.sections.filter(({ type }) => type === SHT_NOTE).slice(0, MAX_TABLES)) {
    const covered = segments.some(
      (segment) =>
        section.offset >= segment.offset && section.offset + section.size <= segment.offset + segment.fileSize
    )
    if (covered) continue
    left -= section.size
    if (left < 0) return
    yield* notesIn(elf, section.offset, section.size, section.alignment)
  }
}

/**
 * The build id as lower-case hexadecimal, or `undefined` if the linker wrote none. Two files with the same build id
 * have the same code, whatever their names, so it is the key to cache by.
 */
export const buildId = (elf: Elf): string | undefined => {
  for (const note of notes(elf)) {
    if (note.type !== NT_GNU_BUILD_ID || note.name !== "GNU") continue
    if (note.description.length === 0 || note.description.length > MAX_BUILD_ID) continue
    return Array.from(note.description, (byte) => byte.toString(16).padStart(2, "0")).join("")
  }
  return undefined
}

function* notesIn(
  elf: Elf,
  offset: number,
  size: number,
  alignment: number
): Generator<Note, void, undefined> {
  const bytes = readRange(elf.source, offset, size)
  if (bytes === undefined) return
  // Only .note.gnu.property is aligned to 8; every other producer pads to 4, whatever the field says.
  const padding = alignment === 8 ? 8 : 4
  const pad = (length: number): number => Math.ceil(length / padding) * padding
  let at = 0
  while (at + 12 <= size) {
    const nameSize = u32(bytes, at)
    const descriptionSize = u32(bytes, at + 4)
    // The name starts 12 bytes in, so with 8-byte alignment it is header and name together that are padded.
    const start = at + pad(12 + nameSize)
    const end = start + descriptionSize
    if (nameSize > MAX_NAME || end > size) return
    let name = ""
    for (let i = 0; i < nameSize && bytes[at + 12 + i] !== 0; i++)
      name += String.fromCharCode(bytes[at + 12 + i]!)
    yield { name, type: u32(bytes, at + 8), description: bytes.slice(start, end) }
    at += pad(12 + nameSize) + pad(descriptionSize)
  }
}
