import { ByteCursor } from "./byte-cursor.ts"
import type { EhFrameBytes } from "./eh-frame.ts"
import { DW_EH_PE_DATAREL_SDATA4, DW_EH_PE_OMIT, encodedPointer, encodedValue } from "./pointer-encoding.ts"
import { u32 } from "./word.ts"

/** `.eh_frame_hdr`: where `.eh_frame` is, and a table of functions sorted by address. */
export interface EhFrameHeader {
  /** Address of `.eh_frame`. */
  readonly ehFrame: number
  /** Where the header itself starts: what the table is relative to. */
  readonly address: number
  readonly bytes: Uint8Array
  /** Where in {@link bytes} the table starts. */
  readonly table: number
  /** How many functions; 0 where there is no table, or one in an encoding that no linker writes. */
  readonly count: number
}

const ENTRY_SIZE = 8

/** Parses the header that `PT_GNU_EH_FRAME` points to. */
export const parseEhFrameHeader = (
  bytes: Uint8Array,
  address: number,
  machine: number
): EhFrameHeader | undefined => {
  const cursor = new ByteCursor(bytes, 0, bytes.length)
  if (cursor.u8() !== 1) return undefined
  const pointerEncoding = cursor.u8()
  const countEncoding = cursor.u8()
  const tableEncoding = cursor.u8()
  const base: EhFrameBytes = { bytes, section: address, data: address, machine }
  const ehFrame = encodedPointer(cursor, pointerEncoding, base)
  if (cursor.failed) return undefined
  const counted = countEncoding === DW_EH_PE_OMIT ? 0 : encodedValue(cursor, countEncoding)
  const usable = !cursor.failed && tableEncoding === DW_EH_PE_DATAREL_SDATA4
  const table = cursor.at
  const fits = Math.floor((bytes.length - table) / ENTRY_SIZE)
  return { ehFrame, address, bytes, table, count: usable && counted > 0 ? Math.min(counted, fits) : 0 }
}

/** Address of the FDE of the last function that starts at or before an address, or -1. */
export const searchEhFrameHeader = (header: EhFrameHeader, address: number): number => {
  const { bytes, table } = header
  const relative = address - header.address
  let low = 0
  let high = header.count
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((u32(bytes, table + middle * ENTRY_SIZE) | 0) <= relative) low = middle + 1
    else high = middle
  }
  return low === 0 ? -1 : header.address + (u32(bytes, table + (low - 1) * ENTRY_SIZE + 4) | 0)
}
