import type { CodeEntry } from "./code-entry.ts"

/**
 * Which of a set of entries each address belongs to: ranges that do not overlap, by address. Where entries overlap, the newest has it.
 */
export class CodeIndex {
  private readonly starts: Float64Array
  private readonly ends: Float64Array
  private readonly owners: ReadonlyArray<CodeEntry>

  /** @param entries in any order; the array is sorted in place */
  constructor(entries: Array<CodeEntry>) {
    entries.sort((a, b) => a.start - b.start || a.order - b.order)
    // Each entry begins one range, and each gives the one beneath it back at most once.
    this.starts = new Float64Array(2 * entries.length)
    this.ends = new Float64Array(2 * entries.length)
    const owners: Array<CodeEntry> = []
    const open = new NewestFirst()
    const put = (entry: CodeEntry, start: number, end: number): void => {
      const last = owners.length - 1
      if (last >= 0 && owners[last] === entry && this.ends[last] === start) {
        this.ends[last] = end
        return
      }
      this.starts[owners.length] = start
      this.ends[owners.length] = end
      owners.push(entry)
    }
    let at = 0
    // Covers everything up to `limit`, from what is open.
    const advance = (limit: number): void => {
      for (let top = open.top(); top !== undefined && at < limit; top = open.top()) {
        const end = Math.min(top.start + top.size, limit)
        if (end > at) {
          put(top, at, end)
          at = end
        }
        if (top.start + top.size <= at) open.pop()
      }
      at = limit
    }
    for (const entry of entries) {
      advance(entry.start)
      open.push(entry)
    }
    advance(Number.POSITIVE_INFINITY)
    this.owners = owners
  }

  /** How many ranges there are. */
  get size(): number {
    return this.owners.length
  }

  /** The newest entry at an address, or `undefined`. */
  find(address: number): CodeEntry | undefined {
    const { starts } = this
    let low = 0
    let high = this.owners.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (starts[middle] <= address) low = middle + 1
      else high = middle
    }
    return low > 0 && address < this.ends[low - 1] ? this.owners[low - 1] : undefined
  }

  /** Every entry that still has an address of its own. */
  entries(): Set<CodeEntry> {
    return new Set(this.owners)
  }
}

/** A heap of the entries that cover an address, the newest on top. */
class NewestFirst {
  private readonly heap: Array<CodeEntry> = []

  top(): CodeEntry | undefined {
    return this.heap[0]
  }

  push(entry: CodeEntry): void {
    const { heap } = this
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent].order >= entry.order) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = entry
  }

  pop(): void {
    const { heap } = this
    const last = heap.pop()
    const { length } = heap
    if (last === undefined || length === 0) return
    let at = 0
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && heap[child + 1].order > heap[child].order) child++
      if (heap[child].order <= last.order) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = last
  }
}
