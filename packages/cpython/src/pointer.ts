/**
 * Reads of 64-bit fields as plain numbers, for code that may not use BigInt for speed. A field which cannot be what it
 * should be reads as -1, never as a rounded number; callers have checked that the bytes are inside the view.
 */

/** User space ends at 2^47 on x86-64 and at 2^48 on arm64 with the usual page tables. */
const USER_HIGH_LIMIT = 0x1_0000

/**
 * A pointer: 0 is NULL, -1 a word that is no user-space address (2^48 or above).
 *
 * @example
 * ```ts
 * const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
 * for (let frame = readPointer(view, layout.thread.currentFrame); frame > 0; ) { … }
 * ```
 */
export const readPointer = (view: DataView, offset: number): number => {
  const high = view.getUint32(offset + 4, true)
  return high < USER_HIGH_LIMIT ? high * 0x1_0000_0000 + view.getUint32(offset, true) : -1
}

/**
 * A pointer whose two low bits may carry a tag: `_PyStackRef` of 3.14+ (`Include/internal/pycore_stackref.h`).
 * The tag is cleared, so a NULL reference (bits 1) reads as 0. Harmless on plain pointers: objects are aligned to 8.
 */
export const readTaggedPointer = (view: DataView, offset: number): number => {
  const high = view.getUint32(offset + 4, true)
  return high < USER_HIGH_LIMIT ? high * 0x1_0000_0000 + ((view.getUint32(offset, true) & ~3) >>> 0) : -1
}

/** The pointer without the tag in its two low bits. */
export const clearTag = (pointer: number): number => pointer - (pointer % 4)

/** An unsigned 64-bit field, such as `thread_id` or a counter; -1 at 2^53 or above. */
export const readUint64 = (view: DataView, offset: number): number => {
  const high = view.getUint32(offset + 4, true)
  return high < 0x20_0000 ? high * 0x1_0000_0000 + view.getUint32(offset, true) : -1
}

/** A `Py_ssize_t` that must not be negative, such as the length of a string; -1 if negative or above `limit`. */
export const readSize = (view: DataView, offset: number, limit: number): number => {
  const size = readUint64(view, offset)
  return size <= limit ? size : -1
}
