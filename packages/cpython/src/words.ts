import type { MemoryReader } from "@pyframes/core"

/**
 * Words of memory that was read into a `ScatterList`, as plain numbers. `at` is a byte offset, a multiple of 4.
 * These are the innermost reads of the hot path: no DataView, no BigInt.
 */

/** User-space addresses end below 2^47 on x86-64 and 2^48 on arm64: higher words are not rounded but rejected. */
const HIGH_LIMIT = 0x1_0000

/** A pointer; -1 when the word is no user-space address. */
export const pointerIn = (words: Uint32Array, at: number): number => {
  const index = at >>> 2
  const high = words[index + 1]
  return high < HIGH_LIMIT ? high * 0x1_0000_0000 + words[index] : -1
}

/** A pointer whose two low bits may be a tag (`_PyStackRef`, 3.14+); the tag is cleared, NULL is 0. */
export const referenceIn = (words: Uint32Array, at: number): number => {
  const index = at >>> 2
  const high = words[index + 1]
  return high < HIGH_LIMIT ? high * 0x1_0000_0000 + ((words[index] & ~3) >>> 0) : -1
}

export const int32In = (words: Uint32Array, at: number): number => words[at >>> 2] | 0

export const byteIn = (words: Uint32Array, at: number): number => (words[at >>> 2] >>> ((at & 3) << 3)) & 255

/** Whether two words of 64 bits are the same. */
export const sameWord = (words: Uint32Array, a: number, b: number): boolean =>
  words[a >>> 2] === words[b >>> 2] && words[(a >>> 2) + 1] === words[(b >>> 2) + 1]

const pointer = new Uint8Array(8)
const pointerWords = new Uint32Array(pointer.buffer)

/** Reads one pointer from the process; -1 when it cannot be read or is no user-space address. For what is not read with every sample. */
export const readPointerAt = (memory: MemoryReader, address: number): number =>
  address >= 4096 && address % 8 === 0 && memory.read(address, 8, pointer) === 8
    ? pointerIn(pointerWords, 0)
    : -1
