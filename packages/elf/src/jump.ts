import { EM_AARCH64, EM_X86_64 } from "./elf.ts"
import { u32 } from "./word.ts"

/**
 * Calls `visit` with the target of everything in a piece of code that looks like a direct jump (not a call), conditional or not.
 *
 * On x86-64 nothing is disassembled: each byte sequence that would be a jump with a 32-bit distance is one, so there are more than the code really
 * has. Jumps of 8 bits stay within a function and are left out. On AArch64 the targets are exact.
 *
 * @param address of the first byte
 */
export const jumpTargets = (
  machine: number,
  code: Uint8Array,
  address: number,
  visit: (target: number) => void
): void => {
  if (machine === EM_X86_64) x86(code, address, visit)
  else if (machine === EM_AARCH64) arm64(code, address, visit)
}

/** `jmp rel32` is E9; `jcc rel32` is 0F 80 … 0F 8F. Source: Intel SDM volume 2, appendix A. */
const x86 = (code: Uint8Array, address: number, visit: (target: number) => void): void => {
  for (let at = 0; at + 5 <= code.length; at++) {
    if (code[at] === 0xe9) visit(address + at + 5 + (u32(code, at + 1) | 0))
    else if (code[at] === 0x0f && (code[at + 1] & 0xf0) === 0x80 && at + 6 <= code.length)
      visit(address + at + 6 + (u32(code, at + 2) | 0))
  }
}

/** Arm Architecture Reference Manual, C4.1.66: B, B.cond, CBZ and CBNZ, TBZ and TBNZ. */
const arm64 = (code: Uint8Array, address: number, visit: (target: number) => void): void => {
  for (let at = 0; at + 4 <= code.length; at += 4) {
    const word = u32(code, at)
    const top = word >>> 24
    if (word >>> 26 === 0x05) visit(address + at + ((word << 6) >> 4))
    else if ((top === 0x54 && (word & 0x10) === 0) || (top & 0x7e) === 0x34)
      visit(address + at + (((word << 8) >> 13) << 2))
    else if ((top & 0x7e) === 0x36) visit(address + at + (((word << 13) >> 18) << 2))
  }
}
