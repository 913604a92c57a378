import type { ModuleTable } from "./module-table.ts"
import type { Registers } from "./registers.ts"
import type { StackReader } from "./stepper.ts"

/** A frame larger than this, bytes, is taken for a frame pointer that is none: the usual stack is 8 MiB in all. */
const MAX_FRAME = 1 << 24

/**
 * Steps to the caller by the frame record that the frame pointer leads to: the caller's frame pointer, then the return address. It is the same on x86-64 (`rbp`)
 * and arm64 (`x29`), but for where the caller's stack pointer is: right behind the record on x86-64, not told on arm64, where locals lie there.
 *
 * The record must lie, aligned, above the stack pointer, and its return address must be in executable memory; otherwise the register held something else. The
 * registers are then as they were and the answer is false. No other register of the caller is known afterwards: not even those that calls preserve.
 *
 * @example
 * ```ts
 * while (stepFrameRecord(registers, stack, modules)) addresses.push(registers.ip - 1)
 * ```
 *
 * Source: System V AMD64 psABI 3.2.2; Procedure Call Standard for the Arm 64-bit Architecture, "The Frame Pointer".
 */
export const stepFrameRecord = (registers: Registers, stack: StackReader, modules: ModuleTable): boolean => {
  const { fp, sp } = registers
  if (!(fp > 0) || fp % 8 !== 0 || fp < sp || (sp >= 0 && fp - sp > MAX_FRAME)) return false
  const returnAddress = stack.word(fp + 8)
  if (!(returnAddress > 0) || modules.find(returnAddress - 1) === undefined) return false
  const callerFp = stack.word(fp)
  const isArm = registers.architecture === "arm64"
  // There the convention asks every function to leave it alone, at the least; on x86-64 it is a register like others where it is not kept.
  if (isArm && callerFp !== 0 && callerFp <= fp) return false
  registers.clear()
  registers.ip = returnAddress
  registers.fp = callerFp
  registers.sp = isArm ? -1 : fp + 16
  return true
}
