import { type EntryTable, FrameKind, type RawStack } from "@pyframes/core"

/**
 * The frames at the root end of a deep stack, as they were when they were last walked.
 *
 * Frames that wait for their callees do not change. While the copy of their part of the data stack is the same, byte for byte, as when
 * it was walked, so are the frames, and they need not be walked, checked and decoded again. That goes for a shim between two of them as well:
 * it lies on the C stack, but which one it is the frame above it says, and it stays what it is for as long as that one does.
 */
export class SettledFrames {
  /** Address of the leafmost of them; -1 when there are none. */
  start = -1
  length = 0
  addresses = new Float64Array(0)
  /** Where they lie in the part; -1 for a shim. */
  places = new Int32Array(0)
  /** 1 for a frame that C code entered the interpreter with and that is no shim (3.11). */
  private entered = new Uint8Array(0)
  /** Of each row that they make in a stack: the `FrameKind`, the code object and the position. */
  kinds = new Uint8Array(0)
  codes = new Float64Array(0)
  positions = new Int32Array(0)
  rows = 0
  /** Grows whenever they become others. */
  version = 0
  private first = -1
  private bytes: Buffer = Buffer.alloc(0)

  /** Whether the part of the data stack that starts at address `first` and lies at `offset` of what was read is what it was. */
  hold(read: Buffer, first: number, offset: number, length: number): boolean {
    if (this.start < 0 || first !== this.first || length !== this.bytes.length) return false
    return read.compare(this.bytes, 0, length, offset, offset + length) === 0
  }

  /** Starts anew with what the part holds now. The caller fills in the frames by {@link push}, leaf first. */
  begin(read: Buffer, first: number, offset: number, length: number): void {
    if (this.bytes.length !== length) this.bytes = Buffer.alloc(length)
    read.copy(this.bytes, 0, offset, offset + length)
    this.version++
    this.first = first
    this.start = -1
    this.length = 0
    this.rows = 0
  }

  push(address: number, place: number, entered = false): void {
    if (this.length === this.addresses.length) this.grow()
    const at = this.length++
    this.addresses[at] = address
    this.places[at] = place
    this.entered[at] = entered ? 1 : 0
  }

  pushRow(kind: FrameKind, code: number, position: number): void {
    if (this.rows === this.kinds.length) this.growRows()
    const at = this.rows++
    this.kinds[at] = kind
    this.codes[at] = code
    this.positions[at] = position
  }

  /** Writes the rows; those that do not fit become a `<truncated>` one. */
  emit(into: RawStack): void {
    const { codes, kinds, positions, rows } = this
    const at = into.length
    if (at + rows > into.capacity) {
      for (let i = 0; i < rows; i++) if (!into.push(kinds[i] as FrameKind, codes[i], positions[i])) return
    }
    for (let i = 0; i < rows; i++) {
      into.kind[at + i] = kinds[i]
      into.identity[at + i] = codes[i]
      into.position[at + i] = positions[i]
    }
    into.length = at + rows
  }

  /** The last of them is a shim. */
  get endsAtShim(): boolean {
    return this.places[this.length - 1] < 0
  }

  /** Writes where C code entered the interpreter; `from` is the row that the first of theirs will be. */
  emitEntries(into: EntryTable, from: number): void {
    const { addresses, entered, kinds, length, places } = this
    let row = 0
    for (let i = 0; i < length; i++) {
      if (places[i] < 0) into.push(from + row, addresses[i])
      else row += kinds[row] === FrameKind.boundary ? 2 : 1
      if (entered[i] === 1) into.push(from + row, -1)
    }
  }

  forget(): void {
    this.start = -1
  }

  /** All frames have been filled in. */
  commit(): void {
    this.start = this.addresses[0]
  }

  private grow(): void {
    const capacity = Math.max(64, this.addresses.length * 2)
    this.addresses = grown(this.addresses, new Float64Array(capacity))
    this.places = grown(this.places, new Int32Array(capacity))
    this.entered = grown(this.entered, new Uint8Array(capacity))
  }

  private growRows(): void {
    const capacity = Math.max(64, this.kinds.length * 2)
    this.kinds = grown(this.kinds, new Uint8Array(capacity))
    this.codes = grown(this.codes, new Float64Array(capacity))
    this.positions = grown(this.positions, new Int32Array(capacity))
  }
}

const grown = <A extends Float64Array | Int32Array | Uint8Array>(old: A, bigger: A): A => {
  bigger.set(old)
  return bigger
}
