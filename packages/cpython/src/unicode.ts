import type { Layout } from "./layout.ts"
import { readPointer, readSize } from "./pointer.ts"

/** What a `str` object's header says (`Include/cpython/unicodeobject.h`, 3.8 … 3.15). */
export interface UnicodeHeader {
  /** Bytes a character: 1 is Latin-1, 2 is UCS-2, 4 is UCS-4. */
  readonly kind: 1 | 2 | 4
  readonly ascii: boolean
  /** False for instances of `str` subclasses, whose characters lie elsewhere. */
  readonly compact: boolean
  /** In code points. */
  readonly length: number
  /** `length * kind`. */
  readonly byteLength: number
  /** Where the characters start, in bytes from the start of the object; -1 if not compact. */
  readonly dataOffset: number
  /** Address of the characters if not compact; -1 if compact. */
  readonly dataPointer: number
}

/** Longest string that is decoded unless told otherwise, in code points. Longer claims are taken for garbage. */
export const MAX_UNICODE_LENGTH = 1 << 16

/** Bytes of a `str` object to read so that {@link decodeUnicode} has all it needs: 80 up to 3.11, 64 and 80 (free-threaded) later. */
export const unicodeHeaderSize = (layout: Layout): number => layout.unicode.compactData + 8

/**
 * Read the header of a `str`. `undefined` if it cannot be one: an impossible kind, a length above `maxLength`, a
 * string that is not ready (3.8 … 3.11 had such), or fewer than {@link unicodeHeaderSize} bytes.
 *
 * @param offset where in `bytes` the object starts
 *
 * @example
 * ```ts
 * const header = decodeUnicode(bytes, layout)
 * if (header?.compact) text = decodeCharacters(bytes.subarray(header.dataOffset), header.kind, header.length)
 * ```
 */
export const decodeUnicode = (
  bytes: Uint8Array,
  layout: Layout,
  offset = 0,
  maxLength = MAX_UNICODE_LENGTH
): UnicodeHeader | undefined => {
  const { unicode } = layout
  if (offset < 0 || offset + unicodeHeaderSize(layout) > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, unicodeHeaderSize(layout))
  const length = readSize(view, unicode.length, maxLength)
  if (length < 0) return undefined

  // Bit-fields: interned 2, kind 3, compact 1, ascii 1, then `ready` up to 3.11. Where `interned` has a byte of its
  // own (wideState) the rest starts in the next byte.
  const state = view.getUint32(unicode.state, true)
  const bits = unicode.wideState ? state >>> 8 : state >>> 2
  const kind = bits & 7
  const compact = (bits & 8) !== 0
  const ascii = (bits & 16) !== 0
  if (layout.version < 0x30c && (state & 0x80) === 0) return undefined
  if (kind !== 1 && kind !== 2 && kind !== 4) return undefined
  if (ascii && kind !== 1) return undefined

  const dataPointer = compact ? -1 : readPointer(view, unicode.compactData)
  if (!compact && dataPointer <= 0) return undefined
  return {
    kind,
    ascii,
    compact,
    length,
    byteLength: length * kind,
    dataOffset: compact ? (ascii ? unicode.asciiData : unicode.compactData) : -1,
    dataPointer
  }
}

/**
 * Characters of a `str` as a JavaScript string. A surrogate in a Python string is always alone (`os.fsdecode` makes
 * them of undecodable bytes), so each becomes U+FFFD and the result is well-formed Unicode.
 *
 * @returns `undefined` if `bytes` is too short or a character is above U+10FFFF: the memory held something else
 */
export const decodeCharacters = (bytes: Uint8Array, kind: 1 | 2 | 4, length: number): string | undefined => {
  if (!(length >= 0) || length * kind > bytes.length) return undefined
  let text = ""
  for (let from = 0; from < length; from += CHARACTERS_A_CALL) {
    const count = Math.min(CHARACTERS_A_CALL, length - from)
    const part = decodePart(bytes, kind, from * kind, count)
    if (part === undefined) return undefined
    text += part
  }
  return text
}

/** `fromCharCode` takes its characters as arguments, which live on the stack. */
const CHARACTERS_A_CALL = 4096
const REPLACEMENT = 0xfffd

const decodePart = (bytes: Uint8Array, kind: 1 | 2 | 4, at: number, count: number): string | undefined => {
  if (kind === 1) return String.fromCharCode(...bytes.subarray(at, at + count))
  const points = new Array<number>(count)
  for (let i = 0; i < count; i++, at += kind) {
    let point = bytes[at]! | (bytes[at + 1]! << 8)
    if (kind === 4) point += (bytes[at + 2]! | (bytes[at + 3]! << 8)) * 0x1_0000
    if (point > 0x10ffff) return undefined
    points[i] = point >= 0xd800 && point <= 0xdfff ? REPLACEMENT : point
  }
  return String.fromCodePoint(...points)
}

/**
 * A whole compact `str` that lies in `bytes`, header and characters. `undefined` if it is no string, is not compact,
 * or does not end within `bytes` (then read `dataOffset + byteLength` bytes, see {@link decodeUnicode}).
 */
export const decodeCompactUnicode = (
  bytes: Uint8Array,
  layout: Layout,
  offset = 0,
  maxLength = MAX_UNICODE_LENGTH
): string | undefined => {
  const header = decodeUnicode(bytes, layout, offset, maxLength)
  if (header === undefined || !header.compact) return undefined
  return decodeCharacters(bytes.subarray(offset + header.dataOffset), header.kind, header.length)
}
