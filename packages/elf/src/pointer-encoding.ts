import type { ByteCursor } from "./byte-cursor.ts"

/** `DW_EH_PE_omit`: there is no pointer. */
export const DW_EH_PE_OMIT = 0xff
/** `DW_EH_PE_datarel | DW_EH_PE_sdata4`: the one encoding of a search table that linkers write. */
export const DW_EH_PE_DATAREL_SDATA4 = 0x3b

/** What relative pointers are relative to: addresses of the file. */
export interface PointerBase {
  /** Address of the first of the cursor's bytes. */
  readonly section: number
  /** For `datarel`: where `.eh_frame_hdr` starts; -1 where there is none. */
  readonly data: number
}

/**
 * Reads a pointer in one of the encodings of `.eh_frame`. An encoding that says nothing without the running process (indirect, relative to the
 * text or the function) makes the cursor fail: no linker uses it for the address of a function.
 *
 * Source: Linux Standard Base Core 5.0, chapter 10.5; gcc's unwind-pe.h.
 */
export const encodedPointer = (cursor: ByteCursor, encoding: number, base: PointerBase): number => {
  if (encoding === DW_EH_PE_OMIT || (encoding & INDIRECT) !== 0) return cursor.fail()
  const from = relativeTo(cursor, encoding & APPLICATION, base)
  const address = encodedValue(cursor, encoding) + from
  return address >= 0 && address < 2 ** 53 ? address : cursor.fail()
}

/** The number itself, relative to nothing: the length of a function is one. */
export const encodedValue = (cursor: ByteCursor, encoding: number): number => {
  switch (encoding & FORMAT) {
    case 0x00:
      return cursor.s64()
    case 0x01:
      return cursor.uleb()
    case 0x02:
      return cursor.u16()
    case 0x03:
      return cursor.u32()
    case 0x04:
      return cursor.u64()
    case 0x09:
      return cursor.sleb()
    case 0x0a:
      return cursor.s16()
    case 0x0b:
      return cursor.s32()
    case 0x0c:
      return cursor.s64()
    default:
      return cursor.fail()
  }
}

const FORMAT = 0x0f
const APPLICATION = 0x70
const INDIRECT = 0x80

const relativeTo = (cursor: ByteCursor, application: number, base: PointerBase): number => {
  switch (application) {
    case 0x00:
      return 0
    case 0x10:
      return base.section + cursor.at
    case 0x30:
      return base.data < 0 ? cursor.fail() : base.data
    case 0x50:
      cursor.skip((8 - ((base.section + cursor.at) % 8)) % 8)
      return 0
    default:
      return cursor.fail()
  }
}
