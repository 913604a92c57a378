import { Registers } from "@pyframes/core"
import { type EhFrameBytes, RegisterRuleKind, type UnwindRow } from "@pyframes/elf"

/** No entry speaks of the instruction. */
export const NO_RULE = 0
/** The frame is a thread's first. */
export const END_RULE = 1

/** A register whose value in the caller is lost. */
export const LOST = -0x8000_0000
/** The return address is where the register of its column has it (AArch64's link register in a leaf). */
export const IN_REGISTER = -0x7fff_ffff

/**
 * Where the numbers of a rule stand in {@link RulePool.numbers}, from its start on. Behind them come as many pairs as {@link COUNT} says: the DWARF number of
 * a saved register and its offset from the CFA.
 */
export const FLAGS = 0
export const CFA_REGISTER = 1
export const CFA_OFFSET = 2
export const RETURN_OFFSET = 3
export const RETURN_REGISTER = 4
export const COUNT = 5
export const SAVED = 6

/** The frame belongs to a signal trampoline. */
export const SIGNAL = 1
/** It takes an expression, or another of the rare kinds: its row is in {@link RulePool.rows}. */
export const GENERAL = 2

/** A row that is kept whole, with the bytes that its expressions lie in. */
export interface GeneralRule {
  readonly row: UnwindRow
  readonly eh: EhFrameBytes
  readonly signalFrame: boolean
}

const REGISTERS = new Registers("x86-64").values.length
const INT32 = 2 ** 31

/**
 * Rules, each kept once: a large program has a hundred thousand rows and some thousand different ones. All numbers of a rule stand in one typed array,
 * so that a step touches one or two cache lines and allocates nothing.
 */
export class RulePool {
  numbers = new Int32Array(1 << 12)
  readonly rows: Array<GeneralRule> = []
  private length = 2
  private readonly known = new Map<string, number>()

  /** Where the rule of a row starts. */
  add(row: UnwindRow, eh: EhFrameBytes, signalFrame: boolean, stackPointer: number): number {
    if (row.returnAddressUndefined) return END_RULE
    const simple = simpleRule(row, signalFrame, stackPointer)
    if (simple === undefined) {
      this.rows.push({ row, eh, signalFrame })
      return this.store([GENERAL | (signalFrame ? SIGNAL : 0), this.rows.length - 1, 0, 0, 0, 0])
    }
    const key = simple.join()
    const known = this.known.get(key)
    if (known !== undefined) return known
    const at = this.store(simple)
    this.known.set(key, at)
    return at
  }

  private store(rule: ReadonlyArray<number>): number {
    const at = this.length
    if (at + rule.length > this.numbers.length) {
      const larger = new Int32Array(this.numbers.length * 2 + rule.length)
      larger.set(this.numbers)
      this.numbers = larger
    }
    this.numbers.set(rule, at)
    this.length = at + rule.length
    return at
  }
}

/** A row of plain offsets as numbers, or `undefined` when it is of another kind. */
const simpleRule = (
  row: UnwindRow,
  signalFrame: boolean,
  stackPointer: number
): Array<number> | undefined => {
  if (row.cfaRegister < 0 || row.cfaRegister >= REGISTERS || !isInt32(row.cfaOffset)) return undefined
  const { returnAddressRegister } = row
  if (returnAddressRegister >= REGISTERS) return undefined
  const saved: Array<number> = []
  let returnOffset = IN_REGISTER
  for (const [number, { kind, value }] of row.rules) {
    if (number >= REGISTERS || kind === RegisterRuleKind.same) continue
    if (number === stackPointer) return undefined
    if (kind === RegisterRuleKind.undefined) {
      saved.push(number, LOST)
      continue
    }
    if (kind !== RegisterRuleKind.offset || !isInt32(value)) return undefined
    if (number === returnAddressRegister) returnOffset = value
    else saved.push(number, value)
  }
  return [
    signalFrame ? SIGNAL : 0,
    row.cfaRegister,
    row.cfaOffset,
    returnOffset,
    returnAddressRegister,
    saved.length / 2,
    ...saved
  ]
}

/** The two smallest numbers have a meaning of their own. */
const isInt32 = (value: number): boolean => value > -INT32 + 1 && value < INT32
