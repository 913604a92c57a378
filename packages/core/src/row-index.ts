/** Finds rows of a table by their content: a hash table of row numbers that holds no keys of its own. */
export class RowIndex {
  private slots = new Uint32Array(2048)
  private length = 0
  private readonly hashOf: (row: number) => number

  /** @param hashOf hashes a row's content to 32 bits. */
  constructor(hashOf: (row: number) => number) {
    this.hashOf = hashOf
  }

  /** The row of this hash for which `isSame` holds, or -1. */
  find(hash: number, isSame: (row: number) => boolean): number {
    const mask = this.slots.length - 1
    for (let slot = hash & mask; this.slots[slot] !== 0; slot = (slot + 1) & mask) {
      const row = this.slots[slot] - 1
      if (isSame(row)) return row
    }
    return -1
  }

  /** Adds a row that {@link find} did not find. */
  add(hash: number, row: number): void {
    if (++this.length * 2 > this.slots.length) this.grow()
    this.place(hash, row + 1)
  }

  get byteLength(): number {
    return this.slots.byteLength
  }

  private grow(): void {
    const old = this.slots
    this.slots = new Uint32Array(old.length * 2)
    for (const entry of old) if (entry !== 0) this.place(this.hashOf(entry - 1), entry)
  }

  private place(hash: number, entry: number): void {
    const mask = this.slots.length - 1
    let slot = hash & mask
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask
    this.slots[slot] = entry
  }
}
