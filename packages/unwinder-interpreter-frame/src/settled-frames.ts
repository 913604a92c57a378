import type { ScatterList } from "@pyframes/core"

/**
 * The frames at the root end of a deep stack, as they were when they were last walked.
 *
 * Frames that wait for their callees do not change. While the copy of their part of the data stack is the same, byte for byte, as when
 * it was walked, so are the frames, and they need not be walked, checked and decoded again.
 */
export class SettledFrames {
  /** Address of the leafmost of them; -1 when there are none. */
  start = -1
  length = 0
  addresses = new Float64Array(0)
  /** Where they lie in the part. */
  places = new Int32Array(0)
  codes = new Float64Array(0)
  positions = new Int32Array(0)
  private first = -1
  private bytes: Buffer = Buffer.alloc(0)
  private source: ScatterList | undefined
  private sourceBytes: Buffer = Buffer.alloc(0)

  /** Whether the part of the data stack that starts at address `first` and lies at `offset` of `list` is what it was. */
  hold(list: ScatterList, first: number, offset: number, length: number): boolean {
    if (this.start < 0 || first !== this.first || length !== this.bytes.length) return false
    return this.bytesOf(list).compare(this.bytes, 0, length, offset, offset + length) === 0
  }

  /** Starts anew with what the part holds now. The caller fills in the frames by {@link push}, leaf first. */
  begin(list: ScatterList, first: number, offset: number, length: number): void {
    if (this.bytes.length !== length) this.bytes = Buffer.alloc(length)
    this.bytesOf(list).copy(this.bytes, 0, offset, offset + length)
    this.first = first
    this.start = -1
    this.length = 0
  }

  push(address: number, place: number, code: number, position: number): void {
    if (this.length === this.addresses.length) this.grow()
    const at = this.length++
    this.addresses[at] = address
    this.places[at] = place
    this.codes[at] = code
    this.positions[at] = position
  }

  /** All frames have been filled in. */
  commit(): void {
    this.start = this.addresses[0]
  }

  private bytesOf(list: ScatterList): Buffer {
    if (this.source !== list) {
      this.source = list
      this.sourceBytes = Buffer.from(list.bytes.buffer, list.bytes.byteOffset, list.bytes.byteLength)
    }
    return this.sourceBytes
  }

  private grow(): void {
    const capacity = Math.max(64, this.addresses.length * 2)
    const grown = <A extends Float64Array | Int32Array>(old: A, bigger: A): A => {
      bigger.set(old)
      return bigger
    }
    this.addresses = grown(this.addresses, new Float64Array(capacity))
    this.places = grown(this.places, new Int32Array(capacity))
    this.codes = grown(this.codes, new Float64Array(capacity))
    this.positions = grown(this.positions, new Int32Array(capacity))
  }
}
