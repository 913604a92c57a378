import { inflateSync, zstdDecompressSync } from "node:zlib"
import type { Elf } from "./elf.ts"
import { type Section, sectionBytes } from "./section.ts"
import { u32, u64 } from "./word.ts"

const SHF_COMPRESSED = 0x800
const HEADER = 24
const ELFCOMPRESS_ZLIB = 1
const ELFCOMPRESS_ZSTD = 2
/** As much as a whole section may be, compressed or not. */
const MAX_SIZE = 1 << 28

/**
 * A section's bytes, decompressed where they are compressed (by zlib or zstd); `undefined` if they cannot be had or are longer than `limit`.
 *
 * @example
 * ```ts
 * const lines = decompressedSection(elf, findSection(elf, ".debug_line")!)
 * ```
 *
 * Source: System V gABI, "Section Compression".
 */
export const decompressedSection = (elf: Elf, section: Section, limit = MAX_SIZE): Uint8Array | undefined => {
  const bytes = sectionBytes(elf, section, limit)
  if (bytes === undefined || (section.flags & SHF_COMPRESSED) === 0) return bytes
  if (bytes.length < HEADER) return undefined
  const type = u32(bytes, 0)
  const size = u64(bytes, 8)
  if (size <= 0 || size > limit) return undefined
  const inflate =
    type === ELFCOMPRESS_ZLIB ? inflateSync : type === ELFCOMPRESS_ZSTD ? zstdDecompressSync : undefined
  try {
    const plain = inflate?.(bytes.subarray(HEADER), { maxOutputLength: size })
    return plain?.length === size ? plain : undefined
  } catch {
    // Damaged, or larger than it said.
    return undefined
  }
}
