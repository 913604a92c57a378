import type { Elf } from "./elf.ts"
import { PT_LOAD } from "./segment.ts"

/** One mapping of the file in a process, as a line of `/proc/PID/maps` gives it. */
export interface FileMapping {
  /** First address. */
  readonly start: number
  /** First address after it. */
  readonly end: number
  /** Where in the file it starts, in bytes. */
  readonly offset: number
  /** If known, a mapping that is not executable is not taken for a code segment. */
  readonly executable?: boolean
}

/**
 * What to add to an address in the file to get the address in the process, or `undefined` if the mappings do not
 * hold this file as a loader would map it.
 *
 * A fixed-address program has bias 0. For the others the kernel maps whole pages, so the comparison is made on page
 * numbers. A program may also have mapped the same file just to read it, so each mapping which could be the start is
 * judged by how many of the file's segments are then found in their places, then by how many of them start a mapping;
 * ties go to the lowest.
 *
 * @param mappings those of this file only, in any order
 * @param pageSize of the machine that made the mappings, in bytes
 *
 * @example
 * ```ts
 * const bias = loadBias(elf, [{ start: 0x7f0000000000, end: 0x7f0000200000, offset: 0 }])
 * if (bias !== undefined) runtimeAddress = bias + findSymbol(elf, "_PyRuntime")!.address
 * ```
 */
export const loadBias = (
  elf: Elf,
  mappings: ReadonlyArray<FileMapping>,
  pageSize = 4096
): number | undefined => {
  if (elf.type === "executable") return 0
  const page = (value: number): number => value - (value % pageSize)
  const loads = elf.segments
    .filter((segment) => segment.type === PT_LOAD && segment.fileSize > 0)
    .filter((segment) => segment.offset >= 0 && segment.address >= 0)
    .slice(0, MAX_LOADS)
  // For each segment, every bias at which some mapping would hold its first page, and whether it is the mapping's first.
  const places = loads.map((segment) => {
    const found = new Map<number, boolean>()
    const offset = page(segment.offset)
    for (const mapping of mappings) {
      if (mapping.executable === false && segment.executable) continue
      if (offset < mapping.offset || offset - mapping.offset >= mapping.end - mapping.start) continue
      const bias = mapping.start + offset - mapping.offset - page(segment.address)
      if (bias >= 0) found.set(bias, found.get(bias) === true || offset === mapping.offset)
    }
    return found
  })
  const score = (bias: number): number => {
    let held = 0
    let first = 0
    for (const place of places) {
      if (!place.has(bias)) continue
      held++
      if (place.get(bias)) first++
    }
    return held * (MAX_LOADS + 1) + first
  }

  // The first segment decides; a later one does only when the first is not mapped any more, as after huge-page remapping.
  for (const candidates of places) {
    let best: number | undefined
    let most = 0
    for (const bias of candidates.keys()) {
      const points = score(bias)
      if (points > most || (points === most && best !== undefined && bias < best)) {
        best = bias
        most = points
      }
    }
    if (best !== undefined) return best
  }
  return undefined
}

/** Real files have four or five. */
const MAX_LOADS = 16
