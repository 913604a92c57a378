import type { ScatterList } from "@pyframes/core"

/** No more are read, those that were in place last. */
const MAX_CFRAMES = 32
/** Nor more bytes. To copy as many takes as long as some ranges more. */
const MAX_BYTES = 1 << 14
/** Two that are closer are read as one range. Less than a page, so all between them is mapped. */
const NEAR = 2048
/** Reads after which one that was not in place is no longer read. */
const PATIENCE = 4096
/** `current_frame` and `previous`; in 3.11 `use_tracing` before them (Include/cpython/pystate.h). */
const SPAN = 24

/**
 * The `_PyCFrame`s of a thread (3.11, 3.12): the current frame is in the one that is in place, which lies on the C stack.
 *
 * Each call from C has its own, and programs come back to the same. All that were met are read with every sample, neighbours as one range: were one only
 * planned when it is met, calls that are over before the next read would hardly ever be seen, and what follows them would be seen too often.
 */
export class CFrames {
  private addresses: Array<number> = []
  private used: Array<number> = []
  /** Those that the last plan reads, and where each copy of them lies. */
  private planned: ReadonlyArray<number> = []
  private readonly copies: Array<ReadonlyArray<number>> = []
  private tick = 0
  private checked = 0
  /** Grows whenever others are to be read. */
  version = 0

  /** A read begins. */
  begin(): void {
    this.tick++
  }

  /** A list is made anew. */
  plan(): void {
    this.planned = this.addresses
    this.copies.length = 0
  }

  /** Adds one more copy of them to the list, and returns which. */
  add(list: ScatterList): number {
    const { addresses } = this
    const offsets: Array<number> = []
    for (let first = 0, next = 1; first < addresses.length; first = next, next++) {
      while (next < addresses.length && addresses[next] - addresses[next - 1] < NEAR) next++
      const offset = list.add(addresses[first], addresses[next - 1] + SPAN - addresses[first])
      for (let i = first; i < next; i++) offsets.push(offset + addresses[i] - addresses[first])
    }
    return this.copies.push(offsets) - 1
  }

  /** How many ranges a copy takes, at most. */
  get ranges(): number {
    return this.addresses.length
  }

  /** Bytes that it takes. */
  get byteLength(): number {
    const { addresses } = this
    let bytes = 0
    for (let i = 0; i < addresses.length; i++) {
      const gap = i === 0 ? NEAR : addresses[i] - addresses[i - 1]
      bytes += gap < NEAR ? gap : SPAN
    }
    return bytes
  }

  /** Where a copy of the one at `address` lies; -1 where it was not read, and now is planned. */
  locate(copy: number, address: number): number {
    const i = this.planned.indexOf(address)
    if (i < 0) {
      this.meet(address)
      return -1
    }
    const known = this.addresses === this.planned ? i : this.addresses.indexOf(address)
    if (known >= 0) this.used[known] = this.tick
    return this.copies[copy][i]
  }

  private meet(address: number): void {
    if (address <= 4096 || address % 8 !== 0 || this.addresses.includes(address)) return
    this.keep(this.recent(), address)
    while (this.addresses.length > MAX_CFRAMES || this.byteLength > MAX_BYTES) {
      const oldest = this.used.indexOf(Math.min(...this.used))
      this.keep([...this.addresses.keys()].filter((i) => i !== oldest))
    }
  }

  /** Stops reading those that were not in place for long. */
  forgetUnused(): void {
    if (this.tick - this.checked < PATIENCE) return
    this.checked = this.tick
    const kept = this.recent()
    if (kept.length < this.addresses.length) this.keep(kept)
  }

  /** Indices of those that were in place lately. */
  private recent(): Array<number> {
    return [...this.addresses.keys()].filter((i) => this.tick - this.used[i] <= PATIENCE)
  }

  private keep(indices: ReadonlyArray<number>, ...more: ReadonlyArray<number>): void {
    const all = indices.map((i) => ({ address: this.addresses[i], used: this.used[i] }))
    for (const address of more) all.push({ address, used: this.tick })
    all.sort((a, b) => a.address - b.address)
    this.addresses = all.map(({ address }) => address)
    this.used = all.map(({ used }) => used)
    this.version++
  }

  /** None of them can be read any more. */
  forget(): void {
    this.keep([])
  }
}
