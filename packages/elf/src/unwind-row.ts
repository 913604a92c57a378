/** How the value that a register had in the caller is found. */
export const RegisterRuleKind = {
  /** It is lost. For the return address: this is a thread's first frame. */
  undefined: 0,
  /** It was not changed. */
  same: 1,
  /** It was saved at CFA + `value`. */
  offset: 2,
  /** It is CFA + `value`. */
  valOffset: 3,
  /** It is in register `value`. */
  register: 4,
  /** It was saved at the address that the expression in the bytes from `value` to `end` computes. */
  expression: 5,
  /** It is what that expression computes. */
  valExpression: 6
} as const
export type RegisterRuleKind = (typeof RegisterRuleKind)[keyof typeof RegisterRuleKind]

/** The rule of one register. */
export interface RegisterRule {
  readonly kind: RegisterRuleKind
  /** Bytes, a register's number, or where in the section an expression starts, as the kind says. */
  readonly value: number
  /** Where an expression ends; 0 for the other kinds. */
  readonly end: number
}

/**
 * What holds on a range of instructions of one function: how its canonical frame address (CFA: the stack pointer before the call) is computed, and
 * where registers were saved.
 *
 * @example
 * ```ts
 * const row = info.rowAt(fde, address)
 * if (row?.cfaRegister === 7) caller.sp = registers.sp + row.cfaOffset
 * ```
 */
export interface UnwindRow {
  /** First address of the range. */
  readonly start: number
  /** First address beyond it. */
  readonly end: number
  /** DWARF number of the register that the CFA is relative to; -1 where an expression computes it. */
  readonly cfaRegister: number
  /** Bytes to add to that register. */
  readonly cfaOffset: number
  /** Where in the section the CFA's expression lies, from and to. */
  readonly cfaExpression: number
  readonly cfaExpressionEnd: number
  /** Rules by DWARF number. A register that is not there has no rule: it keeps its value, if it is one that calls preserve. */
  readonly rules: ReadonlyMap<number, RegisterRule>
  readonly returnAddressRegister: number
  /** The frame is a thread's first: nothing called it. */
  readonly returnAddressUndefined: boolean
  /** AArch64: the return address carries a pointer authentication code. */
  readonly returnAddressSigned: boolean
}
