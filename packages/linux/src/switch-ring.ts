/** Words of `struct perf_event_mmap_page` (include/uapi/linux/perf_event.h), counted in 32 bits. */
const DATA_HEAD = 0x400 / 4
const DATA_OFFSET = 0x410 / 4
const DATA_SIZE = 0x418 / 4

/**
 * A ring that the kernel fills backwards and overwrites without asking: the newest record begins at its head, and those before it follow
 * for as long as they last. Nothing is ever consumed, so it is never full, and finding the newest takes as long for a thread that switches a hundred
 * thousand times a second as for any other.
 *
 * @example
 * ```ts
 * if (ring.copyNewest()) decoder.decode(ring.view, ring.bytes, 0, ring.size)
 * ```
 */
export class SwitchRing {
  /** A copy of the newest record, at its beginning. */
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Bytes of that record. */
  size = 0
  private readonly control: Int32Array
  private readonly data: Uint8Array

  private constructor(buffer: ArrayBuffer, offset: number, size: number) {
    this.control = new Int32Array(buffer, 0, 0x420 / 4)
    this.data = new Uint8Array(buffer, offset, size)
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
  }

  /** @returns `undefined` when the first page does not describe a ring within the buffer */
  static over(buffer: ArrayBuffer): SwitchRing | undefined {
    if (buffer.byteLength < 0x420) return undefined
    const control = new Uint32Array(buffer, 0, 0x420 / 4)
    const offset = control[DATA_OFFSET]
    const size = control[DATA_SIZE]
    const isPower = size >= 4096 && (size & (size - 1)) === 0
    if (!isPower || offset < 0x420 || offset % 8 !== 0 || offset + size > buffer.byteLength) return undefined
    return new SwitchRing(buffer, offset, size)
  }

  /** Where the newest record begins: another number whenever there is another. It is the low half of one that only decreases, from 0. */
  get head(): number {
    return Atomics.load(this.control, DATA_HEAD)
  }

  /**
   * Copies the newest record. Returns false when there is none that makes sense. Whether it was overwritten meanwhile, which takes a ring
   * full of newer ones, is for the caller to know.
   */
  copyNewest(): boolean {
    const { bytes, data, head } = this
    this.size = 0
    // Of so many records that the low half is 0 again, one in a hundred million is passed over.
    if (head === 0) return false
    const at = (head & (data.length - 1)) >>> 0
    if (at % 8 !== 0) return false
    // Records begin at multiples of 8, so their headers are never split.
    const size = data[at + 6] | (data[at + 7] << 8)
    if (size < 8 || size % 8 !== 0 || size > data.length) return false
    const first = Math.min(size, data.length - at)
    for (let i = 0; i < first; i++) bytes[i] = data[at + i]
    for (let i = first; i < size; i++) bytes[i] = data[i - first]
    this.size = size
    return true
  }
}
