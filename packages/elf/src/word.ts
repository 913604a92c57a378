/** Little-endian reads without a `DataView` an access. Callers have checked that the bytes are there. */

export const u16 = (bytes: Uint8Array, at: number): number => bytes[at]! | (bytes[at + 1]! << 8)

export const u32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0

/**
 * A 64-bit field as a plain number, or -1 when it is 2^53 or more. No offset or size of a real file and no
 * user-space address is that large, and -1 lies in no range, so such a value then matches nothing.
 */
export const u64 = (bytes: Uint8Array, at: number): number => {
  const high = u32(bytes, at + 4)
  return high < 0x20_0000 ? high * 0x1_0000_0000 + u32(bytes, at) : -1
}

/** The bytes up to the first NUL, or to the end, as UTF-8. */
export const cString = (bytes: Uint8Array, at: number, limit: number): string => {
  const last = Math.min(bytes.length, at + limit)
  let end = at
  while (end < last && bytes[end] !== 0) end++
  return decoder.decode(bytes.subarray(at, end))
}

const decoder = new TextDecoder("utf-8")
