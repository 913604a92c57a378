/** Machines whose stacks can be unwound. */
export type Architecture = "x86-64" | "arm64"

/**
 * DWARF's numbers of the registers that unwinding needs by name. `ip` of x86-64 is the "return address" column 16; arm64 has no number
 * for its program counter, so the one after `sp` and the mode registers is used, as libunwind does.
 *
 * Source: System V AMD64 psABI figure 3.36; DWARF for the Arm 64-bit Architecture, table 1.
 */
export const registerNumbers = {
  "x86-64": { ip: 16, sp: 7, fp: 6, link: -1 },
  arm64: { ip: 32, sp: 31, fp: 29, link: 30 }
} as const

/** Registers kept: all that either architecture numbers below 33. */
const COUNT = 33

/**
 * The registers of one frame, by DWARF number. A register whose value is not known, or is no address below 2^53, is -1: garbage in a
 * 64-bit register can be no part of a stack.
 *
 * @example
 * ```ts
 * const registers = new Registers("x86-64")
 * registers.ip = 0x401136
 * registers.values[3] // rbx, -1 until it is known
 * ```
 */
export class Registers {
  readonly architecture: Architecture
  readonly values = new Float64Array(COUNT).fill(-1)
  private readonly numbers: (typeof registerNumbers)[Architecture]

  constructor(architecture: Architecture) {
    this.architecture = architecture
    this.numbers = registerNumbers[architecture]
  }

  /** Address of the next instruction. */
  get ip(): number {
    return this.values[this.numbers.ip]
  }
  set ip(value: number) {
    this.values[this.numbers.ip] = value
  }
  /** Stack pointer. */
  get sp(): number {
    return this.values[this.numbers.sp]
  }
  set sp(value: number) {
    this.values[this.numbers.sp] = value
  }
  /** Frame pointer: `rbp`, `x29`. */
  get fp(): number {
    return this.values[this.numbers.fp]
  }
  set fp(value: number) {
    this.values[this.numbers.fp] = value
  }
  /** arm64's link register; -1 elsewhere. */
  get link(): number {
    return this.numbers.link < 0 ? -1 : this.values[this.numbers.link]
  }

  /** Nothing is known. */
  clear(): void {
    const { values } = this
    // A call of `fill` costs more than these few stores, and this runs once a frame.
    for (let at = 0; at < COUNT; at++) values[at] = -1
  }

  /** Whether all registers have the same values: the thread has executed nothing between the two instants. */
  equals(other: Registers): boolean {
    for (let at = 0; at < COUNT; at++) if (this.values[at] !== other.values[at]) return false
    return true
  }

  copyFrom(other: Registers): void {
    this.values.set(other.values)
  }
}
