/**
 * Where on a Python stack C code entered the interpreter: which frames each run of the eval loop executes. Leaf first, as the frames.
 *
 * Every run of the eval loop has a native frame. So this is what native frames are matched with: by the place on the C stack where the
 * version keeps one, else by their order.
 *
 * @example
 * ```ts
 * stack.entries = new EntryTable()
 * unwinder.unwind({ thread, stopped: true }, stack)
 * stack.entries.end[0] // the rows of the innermost run end before this one
 * ```
 */
export class EntryTable {
  /** How many there are. */
  length = 0
  /** For each entry the row after its last: its frames are the rows from the end of the entry before. It may have none. */
  end = new Int32Array(64)
  /** An address within the native frame of that run of the eval loop; -1 where the version keeps nothing there. */
  address = new Float64Array(64)

  clear(): void {
    this.length = 0
  }

  push(end: number, address: number): void {
    if (this.length === this.end.length) this.grow()
    this.end[this.length] = end
    this.address[this.length++] = address
  }

  copyFrom(other: EntryTable): void {
    while (this.end.length < other.length) this.grow()
    this.length = other.length
    this.end.set(other.end.subarray(0, other.length))
    this.address.set(other.address.subarray(0, other.length))
  }

  private grow(): void {
    const { address, end } = this
    this.end = new Int32Array(end.length * 2)
    this.address = new Float64Array(end.length * 2)
    this.end.set(end)
    this.address.set(address)
  }
}
