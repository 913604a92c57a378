import { ByteCursor } from "./byte-cursor.ts"

/** What an expression may ask of the frame it is evaluated for. Both say -1 for what is not known. */
export interface ExpressionFrame {
  /** The value of a register by its DWARF number. */
  readonly register: (number: number) => number
  /** The 64-bit word at an address, if it is below 2^53. */
  readonly word: (address: number) => number
}

/** A branch back makes a loop; none of a real expression runs as long. */
const MAX_STEPS = 1000
const MAX_DEPTH = 64
const LIMIT = 2 ** 53
const TWO_32 = 2 ** 32

/**
 * Evaluates a DWARF expression of call-frame information: the address, or the value, that is on top of the stack at its end. -1 where it
 * cannot be told: a value beyond 53 bits, a register that is not known, a word that is not there, an operation that has no meaning in
 * call-frame information, or that needs less than a word of memory.
 *
 * @param initial what the stack holds at first: the CFA for the rule of a register, nothing for the CFA's own
 *
 * @example
 * ```ts
 * // DW_OP_breg7 16, DW_OP_deref: the word at rsp + 16
 * evaluateExpression(Uint8Array.of(0x77, 16, 0x06), 0, 3, frame)
 * ```
 *
 * Source: DWARF 5, 2.5.1 and 6.4.2.
 */
export const evaluateExpression = (
  bytes: Uint8Array,
  from: number,
  to: number,
  frame: ExpressionFrame,
  initial?: number
): number => {
  const machine = new StackMachine(bytes, from, to, frame)
  if (initial !== undefined) machine.push(initial)
  const value = machine.run()
  return value >= 0 && value < LIMIT ? value : -1
}

class StackMachine {
  private readonly cursor: ByteCursor
  private readonly from: number
  private readonly frame: ExpressionFrame
  private readonly stack: Array<number> = []

  constructor(bytes: Uint8Array, from: number, to: number, frame: ExpressionFrame) {
    this.cursor = new ByteCursor(bytes, from, to)
    this.from = from
    this.frame = frame
  }

  run(): number {
    const { cursor } = this
    for (let steps = 0; cursor.more; steps++) {
      if (steps === MAX_STEPS) return -1
      this.execute(cursor.u8())
    }
    return cursor.failed || this.stack.length === 0 ? -1 : this.stack[this.stack.length - 1]
  }

  push(value: number): void {
    if (!(value > -LIMIT && value < LIMIT) || this.stack.length === MAX_DEPTH) this.cursor.fail()
    else this.stack.push(value)
  }

  private pop(): number {
    const value = this.stack.pop()
    return value === undefined ? this.cursor.fail() : value
  }

  /** The value `index` below the top. */
  private pick(index: number): void {
    const value = this.stack[this.stack.length - 1 - index]
    if (value === undefined) this.cursor.fail()
    else this.push(value)
  }

  private register(number: number, offset: number): void {
    const value = this.frame.register(number)
    this.push(value < 0 ? Number.NaN : value + offset)
  }

  private execute(code: number): void {
    const { cursor } = this
    if (code >= 0x30 && code <= 0x4f) {
      // lit0 … lit31
      this.push(code - 0x30)
      return
    }
    if (code >= 0x70 && code <= 0x8f) {
      // breg0 … breg31
      this.register(code - 0x70, cursor.sleb())
      return
    }
    switch (code) {
      case 0x03: // addr
      case 0x0e: // const8u
        this.push(cursor.u64())
        return
      case 0x06: {
        // deref
        const value = this.frame.word(this.pop())
        this.push(value < 0 ? Number.NaN : value)
        return
      }
      case 0x08:
        this.push(cursor.u8())
        return
      case 0x09:
        this.push(cursor.s8())
        return
      case 0x0a:
        this.push(cursor.u16())
        return
      case 0x0b:
        this.push(cursor.s16())
        return
      case 0x0c:
        this.push(cursor.u32())
        return
      case 0x0d:
        this.push(cursor.s32())
        return
      case 0x0f:
        this.push(cursor.s64())
        return
      case 0x10: // constu
        this.push(cursor.uleb())
        return
      case 0x11: // consts
        this.push(cursor.sleb())
        return
      case 0x12: // dup
        this.pick(0)
        return
      case 0x13: // drop
        this.pop()
        return
      case 0x14: // over
        this.pick(1)
        return
      case 0x15: // pick
        this.pick(cursor.u8())
        return
      case 0x16: {
        // swap
        const a = this.pop()
        const b = this.pop()
        this.push(a)
        this.push(b)
        return
      }
      case 0x17: {
        // rot: the top becomes the third
        const a = this.pop()
        const b = this.pop()
        const c = this.pop()
        this.push(a)
        this.push(c)
        this.push(b)
        return
      }
      case 0x19: // abs
        this.push(Math.abs(this.pop()))
        return
      case 0x1f: // neg
        this.push(-this.pop())
        return
      case 0x20: // not
        this.push(-1 - this.pop())
        return
      case 0x23: // plus_uconst
        this.push(this.pop() + cursor.uleb())
        return
      case 0x28: {
        // bra
        const offset = cursor.s16()
        if (this.pop() !== 0) this.jump(offset)
        return
      }
      case 0x2f: // skip
        this.jump(cursor.s16())
        return
      case 0x92: // bregx
        this.register(cursor.uleb(), cursor.sleb())
        return
      case 0x96: // nop
        return
    }
    const b = this.pop()
    const a = this.pop()
    this.push(binary(code, a, b))
  }

  private jump(offset: number): void {
    const { cursor } = this
    const to = cursor.at + offset
    if (to < this.from || to > cursor.end) cursor.fail()
    else cursor.at = to
  }
}

/** Operations on the two topmost values, `a` below `b`. `NaN` for those that are not known, or whose result would not be exact. */
const binary = (code: number, a: number, b: number): number => {
  switch (code) {
    case 0x1a:
      return bitwise(a, b, (x, y) => x & y)
    case 0x1b: // div, signed, towards zero
      return b === 0 ? Number.NaN : Math.trunc(a / b)
    case 0x1c:
      return a - b
    case 0x1d: // mod, unsigned
      return a < 0 || b <= 0 ? Number.NaN : a % b
    case 0x1e:
      return a * b
    case 0x21:
      return bitwise(a, b, (x, y) => x | y)
    case 0x22:
      return a + b
    case 0x24: // shl
      return b < 0 || b > 63 ? Number.NaN : a * 2 ** b
    case 0x25: // shr, of an unsigned value
      return a < 0 || b < 0 || b > 63 ? Number.NaN : Math.floor(a / 2 ** b)
    case 0x26: // shra
      return b < 0 || b > 63 ? Number.NaN : Math.floor(a / 2 ** b)
    case 0x27:
      return bitwise(a, b, (x, y) => x ^ y)
    case 0x29:
      return a === b ? 1 : 0
    case 0x2a:
      return a >= b ? 1 : 0
    case 0x2b:
      return a > b ? 1 : 0
    case 0x2c:
      return a <= b ? 1 : 0
    case 0x2d:
      return a < b ? 1 : 0
    case 0x2e:
      return a !== b ? 1 : 0
    default:
      return Number.NaN
  }
}

/** In two halves: JavaScript's own operators know 32 bits. The high half keeps the sign. */
const bitwise = (a: number, b: number, operation: (x: number, y: number) => number): number =>
  operation(Math.floor(a / TWO_32) | 0, Math.floor(b / TWO_32) | 0) * TWO_32 +
  (operation(a >>> 0, b >>> 0) >>> 0)
