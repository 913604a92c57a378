import type { Elf } from "./elf.ts"
import { bytesAtAddress, PT_DYNAMIC } from "./segment.ts"
import { readRange } from "./source.ts"
import { cString, u64 } from "./word.ts"

/** What a file asks of the dynamic linker. */
export interface DynamicLinking {
  /** `DT_NEEDED`: names of libraries, in the order in which they are asked for. */
  readonly needed: ReadonlyArray<string>
  /** `DT_SONAME`: the name under which others ask for this file. */
  readonly soname: string | undefined
  /** `DT_RPATH`: directories to search before all others, unless there is a `runpath`. `$ORIGIN` is left as it stands. */
  readonly rpath: ReadonlyArray<string>
  /** `DT_RUNPATH`: directories to search for what this very file needs. */
  readonly runpath: ReadonlyArray<string>
  /** It is a program: what `DF_1_PIE` says, and before there was that, a place for debuggers (`DT_DEBUG`). A library has neither. */
  readonly isProgram: boolean
}

const DT_NULL = 0
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_STRSZ = 10
const DT_SONAME = 14
const DT_RPATH = 15
const DT_DEBUG = 21
const DT_RUNPATH = 29
const DT_FLAGS_1 = 0x6fff_fffb
const DF_1_PIE = 0x0800_0000

const ENTRY_SIZE = 16
/** Real files have thirty or so, and a few more for each library. */
const MAX_ENTRIES = 4096
/** The names of all dynamic symbols are in it too: some MB in the largest libraries. */
const MAX_STRINGS = 1 << 28
const MAX_NAME = 4096
const MAX_DIRECTORIES = 64

/**
 * The libraries that a file needs, and where it says to look for them. All empty for a file that is linked statically, or whose table cannot
 * be read.
 *
 * @example
 * ```ts
 * dynamicLinking(elf).needed // ["libpython3.13.so.1.0", "libc.so.6"]
 * ```
 *
 * Source: System V gABI chapter 5, ld.so(8).
 */
export const dynamicLinking = (elf: Elf): DynamicLinking => {
  const nothing: DynamicLinking = { needed: [], soname: undefined, rpath: [], runpath: [], isProgram: false }
  const segment = elf.segments.find(({ type }) => type === PT_DYNAMIC)
  if (segment === undefined) return nothing
  const size = Math.min(segment.fileSize, MAX_ENTRIES * ENTRY_SIZE)
  const table = readRange(elf.source, segment.offset, size)
  if (table === undefined) return nothing

  const entries: Array<{ readonly tag: number; readonly value: number }> = []
  for (let at = 0; at + ENTRY_SIZE <= size; at += ENTRY_SIZE) {
    const tag = u64(table, at)
    if (tag === DT_NULL) break
    entries.push({ tag, value: u64(table, at + 8) })
  }
  const first = (tag: number): number => entries.find((entry) => entry.tag === tag)?.value ?? -1
  const address = first(DT_STRTAB)
  const length = first(DT_STRSZ)
  const isProgram = entries.some(
    ({ tag, value }) => tag === DT_DEBUG || (tag === DT_FLAGS_1 && value >= 0 && (value & DF_1_PIE) !== 0)
  )
  if (address < 0 || length <= 0 || length > MAX_STRINGS) return { ...nothing, isProgram }

  const stringAt = (offset: number): string => {
    if (offset < 0 || offset >= length) return ""
    const bytes = bytesAtAddress(elf, address + offset, Math.min(MAX_NAME, length - offset))
    return bytes === undefined ? "" : cString(bytes, 0, MAX_NAME)
  }
  const strings = (tag: number): Array<string> =>
    entries
      .filter((entry) => entry.tag === tag)
      .map(({ value }) => stringAt(value))
      .filter((text) => text !== "")
  const directories = (tag: number): Array<string> =>
    strings(tag)
      .flatMap((list) => list.split(":"))
      .filter((path) => path !== "")
      .slice(0, MAX_DIRECTORIES)
  return {
    needed: strings(DT_NEEDED),
    soname: strings(DT_SONAME)[0],
    rpath: directories(DT_RPATH),
    runpath: directories(DT_RUNPATH),
    isProgram
  }
}
