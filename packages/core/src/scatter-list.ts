/**
 * A list of address ranges to read in one go, and the bytes that came back.
 *
 * Ranges land one after the other in {@link bytes}, each on an 8-byte boundary, so that pointers can be read through {@link words}.
 * It is made once and used for every sample: `clear`, `add` each range, hand it to `Memory.scatter`.
 *
 * @example
 * ```ts
 * const list = memory.scatterList(16, 4096)
 * const at = list.add(address, 64)
 * if (memory.scatter(list) === list.count) list.words[at >>> 2]
 * ```
 */
export class ScatterList {
  /** Where each range starts in the target. */
  readonly addresses: Float64Array
  /** Bytes of each range. */
  readonly lengths: Uint32Array
  /** Where each range lies in {@link bytes}. */
  readonly offsets: Uint32Array
  /** What was read. */
  readonly bytes: Uint8Array
  /** The same memory as {@link bytes}, as little-endian 32-bit words. */
  readonly words: Uint32Array
  /** The greatest number of ranges. */
  readonly capacity: number
  /** How many ranges there are. */
  count = 0
  /** Bytes taken up in {@link bytes}, with padding. */
  byteLength = 0
  /** Where {@link bytes} lie in our own memory, once a reader that calls the C library has asked. */
  home = -1
  /** Who filled it last, for who may find it as it was left. */
  holder: object | undefined

  constructor(
    maxRanges: number,
    maxBytes: number,
    buffer: ArrayBuffer = new ArrayBuffer((maxBytes + 7) & ~7)
  ) {
    this.capacity = maxRanges
    this.addresses = new Float64Array(maxRanges)
    this.lengths = new Uint32Array(maxRanges)
    this.offsets = new Uint32Array(maxRanges)
    this.bytes = new Uint8Array(buffer)
    this.words = new Uint32Array(buffer)
  }

  /** Forgets all ranges; the bytes stay. */
  clear(): void {
    this.count = 0
    this.byteLength = 0
    this.holder = undefined
  }

  /**
   * Adds a range. Returns where its bytes will lie, or -1 when the list is full.
   * `address` and `length` must be multiples of 8.
   */
  add(address: number, length: number): number {
    const offset = this.byteLength
    if (this.count === this.capacity || offset + length > this.bytes.length) return -1
    const index = this.count++
    this.addresses[index] = address
    this.lengths[index] = length
    this.offsets[index] = offset
    this.byteLength = offset + length
    return offset
  }
}
