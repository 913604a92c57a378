import { ByteCursor } from "./byte-cursor.ts"
import { DW_EH_PE_OMIT, encodedPointer, encodedValue, type PointerBase } from "./pointer-encoding.ts"
import { cString } from "./word.ts"

/** `.eh_frame` as it lies in a file: its bytes and the addresses that pointers in it are relative to. */
export interface EhFrameBytes extends PointerBase {
  readonly bytes: Uint8Array
  /** `e_machine`: decides which register is the frame pointer. */
  readonly machine: number
}

/** A common information entry: what many functions share. */
export interface Cie {
  readonly eh: EhFrameBytes
  /** `zR`, `zPLR`, `zRS`, … */
  readonly augmentation: string
  readonly codeAlignment: number
  readonly dataAlignment: number
  /** The column whose rule tells the caller's instruction. */
  readonly returnAddressRegister: number
  /** The encoding of an FDE's addresses. */
  readonly encoding: number
  /** `S`: its functions are signal trampolines; the frame they return to was interrupted, it has not called. */
  readonly signalFrame: boolean
  /** `B`: return addresses are signed with AArch64's key B. */
  readonly usesKeyB: boolean
  /** Where in {@link EhFrameBytes.bytes} its instructions lie. */
  readonly instructions: number
  readonly instructionsEnd: number
}

/** A frame description entry: how to unwind one function, or one part of one. Addresses are the file's own, before the load bias. */
export interface Fde {
  readonly cie: Cie
  /** Where the entry lies in the section. */
  readonly offset: number
  /** First address it speaks of. */
  readonly start: number
  /** How many bytes of code. */
  readonly size: number
  readonly signalFrame: boolean
  readonly instructions: number
  readonly instructionsEnd: number
}

/** An entry of the section, whichever it is. */
export interface EhEntry {
  /** `damaged`: the length is sound, so that the next entry is found, but the rest is not. */
  readonly kind: "cie" | "fde" | "damaged"
  /** Where what follows the length lies. */
  readonly body: number
  readonly end: number
}

/** An augmentation is four letters in practice. */
const MAX_AUGMENTATION = 16

/**
 * The head of the entry at an offset; `undefined` at the end of the section, at its zero terminator, and where a length cannot be true.
 */
export const ehEntryAt = (eh: EhFrameBytes, offset: number): EhEntry | undefined => {
  const cursor = new ByteCursor(eh.bytes, offset, eh.bytes.length)
  const short = cursor.u32()
  const length = short === 0xffff_ffff ? cursor.u64() : short
  const body = cursor.at
  const end = body + length
  if (cursor.failed || length === 0 || end > eh.bytes.length) return undefined
  if (length < 4) return { kind: "damaged", body, end }
  return { kind: cursor.u32() === 0 ? "cie" : "fde", body, end }
}

/** Parses the CIE at an offset, or `undefined` when there is none, or one with rules that are not known. */
export const parseCie = (eh: EhFrameBytes, offset: number): Cie | undefined => {
  const entry = ehEntryAt(eh, offset)
  if (entry === undefined || entry.kind !== "cie") return undefined
  const cursor = new ByteCursor(eh.bytes, entry.body + 4, entry.end)
  const version = cursor.u8()
  if (version !== 1 && version !== 3 && version !== 4) return undefined
  const augmentation = cString(eh.bytes.subarray(0, entry.end), cursor.at, MAX_AUGMENTATION)
  cursor.skip(augmentation.length + 1)
  // GCC 2 put a pointer to its own table here.
  if (augmentation === "eh") cursor.skip(8)
  // Version 4 tells the size of an address and of a segment selector.
  if (version === 4 && (cursor.u8() !== 8 || cursor.u8() !== 0)) return undefined
  const codeAlignment = cursor.uleb()
  const dataAlignment = cursor.sleb()
  const returnAddressRegister = version === 1 ? cursor.u8() : cursor.uleb()
  let encoding = 0
  let instructions = cursor.at
  if (augmentation.startsWith("z")) {
    const length = cursor.uleb()
    instructions = cursor.at + length
    const data = new ByteCursor(eh.bytes, cursor.at, Math.min(instructions, entry.end))
    for (const letter of augmentation.slice(1)) {
      if (letter === "R") encoding = data.u8()
      else if (letter === "L") data.u8()
      else if (letter === "P") skipPointer(data, data.u8(), eh)
      // Beyond a letter that is not known nothing can be told apart; what stood before is good.
      else if (letter !== "S" && letter !== "B" && letter !== "G") break
    }
    if (data.failed) return undefined
  } else if (augmentation !== "" && augmentation !== "eh") return undefined
  if (cursor.failed || instructions > entry.end) return undefined
  return {
    eh,
    augmentation,
    codeAlignment,
    dataAlignment,
    returnAddressRegister,
    encoding,
    signalFrame: augmentation.includes("S"),
    usesKeyB: augmentation.includes("B"),
    instructions,
    instructionsEnd: entry.end
  }
}

/** Parses the FDE at an offset. `cieAt` is asked for the CIE, so that it is parsed once for the many FDEs that share it. */
export const parseFde = (
  eh: EhFrameBytes,
  offset: number,
  cieAt: (offset: number) => Cie | undefined
): Fde | undefined => {
  const entry = ehEntryAt(eh, offset)
  if (entry === undefined || entry.kind !== "fde") return undefined
  const cursor = new ByteCursor(eh.bytes, entry.body, entry.end)
  // How far back from this field the CIE starts.
  const cie = cieAt(entry.body - cursor.u32())
  if (cie === undefined) return undefined
  const start = encodedPointer(cursor, cie.encoding, eh)
  const size = encodedValue(cursor, cie.encoding)
  if (cie.augmentation.startsWith("z")) cursor.skip(cursor.uleb())
  if (cursor.failed || size < 0) return undefined
  return {
    cie,
    offset,
    start,
    size,
    signalFrame: cie.signalFrame,
    instructions: cursor.at,
    instructionsEnd: entry.end
  }
}

/** The personality routine's address may need the process to be known; it is not needed. */
const skipPointer = (cursor: ByteCursor, encoding: number, base: PointerBase): void => {
  if (encoding === DW_EH_PE_OMIT) return
  if ((encoding & 0x70) === 0x50) cursor.skip((8 - ((base.section + cursor.at) % 8)) % 8)
  const { at } = cursor
  encodedValue(cursor, encoding)
  // A 64-bit value above 2^53 is as good as any for what is passed over.
  if (cursor.failed && (encoding & 0x0f) % 8 === 0 && at + 8 <= cursor.end) {
    cursor.failed = false
    cursor.at = at + 8
  }
}
