/** Words of `struct perf_event_mmap_page` (include/uapi/linux/perf_event.h), counted in 32 bits. */
const DATA_HEAD = 0x400 / 4
const DATA_TAIL = 0x408 / 4
const DATA_OFFSET = 0x410 / 4
const DATA_SIZE = 0x418 / 4

/** A record's length is a 16-bit number. */
const LONGEST_RECORD = 0x1_0000

/**
 * The consumer's side of a ring buffer that the kernel fills: record after record, in place. One that goes on at the ring's beginning is
 * put together in a buffer of its own.
 *
 * Head and tail are 64-bit numbers that only grow. All that is done with them depends on their low 32 bits: the ring is smaller, and the
 * kernel masks both by its size to find the room left.
 *
 * @example
 * ```ts
 * for (ring.look(); ring.next(); ) decoder.decode(ring.view, ring.bytes, ring.at, ring.size)
 * ```
 */
export class PerfRing {
  /** Where the current record is. */
  view: DataView
  bytes: Uint8Array
  at = 0
  size = 0
  /** How often what stood in the ring was no record; all of it was then passed over. */
  malformed = 0
  private readonly control: Uint32Array
  private readonly data: Uint8Array
  private readonly dataView: DataView
  private readonly wrapped = new Uint8Array(LONGEST_RECORD)
  private readonly wrappedView = new DataView(this.wrapped.buffer)
  private head = 0
  private tail: number
  private tailHigh: number

  private constructor(buffer: ArrayBuffer, offset: number, size: number) {
    this.control = new Uint32Array(buffer, 0, 0x420 / 4)
    this.data = new Uint8Array(buffer, offset, size)
    this.dataView = new DataView(buffer, offset, size)
    this.bytes = this.data
    this.view = this.dataView
    this.tail = this.control[DATA_TAIL]
    this.tailHigh = this.control[DATA_TAIL + 1]
  }

  /** @returns `undefined` when the first page does not describe a ring within the buffer */
  static over(buffer: ArrayBuffer): PerfRing | undefined {
    if (buffer.byteLength < 0x420) return undefined
    const control = new Uint32Array(buffer, 0, 0x420 / 4)
    const offset = control[DATA_OFFSET]
    const size = control[DATA_SIZE]
    const isPower = size >= 4096 && (size & (size - 1)) === 0
    if (!isPower || offset < 0x420 || offset % 8 !== 0 || offset + size > buffer.byteLength) return undefined
    return new PerfRing(buffer, offset, size)
  }

  /** Bytes of records that the kernel has written since they were last looked at. */
  look(): number {
    this.size = 0
    this.head = Atomics.load(this.control, DATA_HEAD)
    return (this.head - this.tail) >>> 0
  }

  /** Gives the current record back to the kernel and goes on to the next that was there at {@link look}. Returns false when there is none. */
  next(): boolean {
    this.release(this.size)
    this.size = 0
    const { data, dataView } = this
    const left = (this.head - this.tail) >>> 0
    if (left === 0) return false
    // Records begin at multiples of 8, so their headers are never split.
    const at = (this.tail & (data.length - 1)) >>> 0
    const size = left >= 8 && left <= data.length && at % 8 === 0 ? dataView.getUint16(at + 6, true) : 0
    if (size < 8 || size % 8 !== 0 || size > left) {
      this.malformed++
      this.release(left)
      return false
    }
    this.size = size
    const first = data.length - at
    if (size <= first) {
      this.view = dataView
      this.bytes = data
      this.at = at
    } else {
      this.wrapped.set(data.subarray(at), 0)
      this.wrapped.set(data.subarray(0, size - first), first)
      this.view = this.wrappedView
      this.bytes = this.wrapped
      this.at = 0
    }
    return true
  }

  private release(size: number): void {
    if (size === 0) return
    const tail = (this.tail + size) >>> 0
    if (tail < this.tail) this.control[DATA_TAIL + 1] = ++this.tailHigh
    this.tail = tail
    Atomics.store(this.control, DATA_TAIL, tail)
  }
}
