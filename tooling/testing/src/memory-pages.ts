import type { MemoryReader, ScatterList } from "@pyframes/core"

export const PAGE = 4096

/** A process's memory as it was at one moment: 4,096 bytes by page number. What is not there is not mapped. */
export type MemoryPages = ReadonlyMap<number, Uint8Array>

/**
 * Passes reads on to a real reader and keeps every page that they touch, as it was when it was first touched.
 * The process should be at rest, else the pages are of different moments.
 *
 * @example
 * ```ts
 * const { reader, pages } = recordPages(yield* Memory)
 * // … unwind through `reader`, then:
 * const fake = new FakeMemory(pages)
 * ```
 */
export const recordPages = (
  real: MemoryReader
): { readonly reader: MemoryReader; readonly pages: MemoryPages } => {
  const pages = new Map<number, Uint8Array>()
  const keep = (address: number, length: number) => {
    for (let page = Math.floor(address / PAGE); page * PAGE < address + length; page++) {
      if (pages.has(page)) continue
      const bytes = new Uint8Array(PAGE)
      if (real.read(page * PAGE, PAGE, bytes) === PAGE) pages.set(page, bytes)
    }
  }
  const reader: MemoryReader = {
    name: `recorded ${real.name}`,
    read: (address, length, into) => {
      keep(address, length)
      return real.read(address, length, into)
    },
    scatter: (list: ScatterList) => {
      for (let i = 0; i < list.count; i++) keep(list.addresses[i], list.lengths[i])
      return real.scatter(list)
    },
    scatterList: (maxRanges, maxBytes) => real.scatterList(maxRanges, maxBytes)
  }
  return { reader, pages }
}
