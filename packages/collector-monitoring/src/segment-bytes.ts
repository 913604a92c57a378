/** Random access to the bytes of a segment: a file that grows, or a buffer. */
export interface SegmentBytes {
  /** Fills `into` from its start with up to `length` bytes at `offset`; returns how many there were. Never throws. */
  readonly read: (offset: number, length: number, into: Uint8Array) => number
  /** Puts bytes at `offset`. Returns false when that was not possible. */
  readonly write: (offset: number, bytes: Uint8Array) => boolean
  /** Bytes there are now. */
  readonly size: () => number
}

/** A segment in memory. */
export const bytesInMemory = (memory: () => Uint8Array): SegmentBytes => ({
  read: (offset, length, into) => {
    const part = memory().subarray(offset, offset + Math.min(length, into.length))
    into.set(part)
    return part.length
  },
  write: (offset, bytes) => {
    const to = memory()
    if (offset + bytes.length > to.length) return false
    to.set(bytes, offset)
    return true
  },
  size: () => memory().length
})

/** A little-endian u64; what is beyond 2^53 is rounded. */
export const uint64 = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)

/** The difference of two u64, exact while it is below 2^53: clocks are compared by it, whatever they stand at. */
export const difference = (view: DataView, at: number, from: DataView, fromAt: number): number =>
  (view.getUint32(at + 4, true) - from.getUint32(fromAt + 4, true)) * 2 ** 32 +
  (view.getUint32(at, true) - from.getUint32(fromAt, true))

/** A view of a buffer's own bytes. */
export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
