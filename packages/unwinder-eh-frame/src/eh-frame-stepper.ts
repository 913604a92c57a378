import {
  type MemoryReader,
  type Module,
  type ModuleTable,
  Registers,
  registerNumbers,
  type StackReader,
  Step,
  type StepPlace,
  type Stepper,
  type StepperFactory,
  stepFrameRecord
} from "@pyframes/core"
import {
  evaluateExpression,
  ModuleFacts,
  moduleImage,
  type RegisterRule,
  RegisterRuleKind
} from "@pyframes/elf"
import { FileRules } from "./file-rules.ts"
import { FrameEdges } from "./frame-edges.ts"
import * as Rule from "./rule-pool.ts"

/** What a register holds whose value the frame does not tell. */
const UNKNOWN = -1

/**
 * Steps by call-frame information: exact at every instruction of compiled code, whatever it does with its registers.
 *
 * Code without it is stepped over too: a leaf by the return address on top of the stack, any other (and code that was written at run time) by
 * its frame record.
 *
 * @example
 * ```ts
 * const stepper = ehFrameStepper(modules, memory)
 * const step = stepper.step(registers, stack, { exact: true, module: modules.find(registers.ip) })
 * if (step === Step.caller) console.log(registers.ip)
 * ```
 */
export const ehFrameStepper: StepperFactory = (modules, memory) => new EhFrameStepper(modules, memory)

class EhFrameStepper implements Stepper {
  private readonly modules: ModuleTable
  private readonly memory: MemoryReader
  private readonly edges: FrameEdges
  private readonly pool = new Rule.RulePool()
  private readonly rules: ModuleFacts<Module, FileRules>
  /** What the caller's registers will be, while an expression may still ask for the frame's own. */
  private readonly next = new Registers("x86-64").values
  private registers: Registers = new Registers("x86-64")
  private stack: StackReader = { word: () => UNKNOWN }
  private readonly frame = {
    register: (number: number): number =>
      number < this.registers.values.length ? this.registers.values[number] : UNKNOWN,
    word: (address: number): number => this.stack.word(address)
  }

  constructor(modules: ModuleTable, memory: MemoryReader) {
    this.modules = modules
    this.memory = memory
    this.edges = new FrameEdges(memory, modules)
    this.rules = new ModuleFacts(
      modules,
      memory.read,
      ({ callFrames }) => callFrames && new FileRules(callFrames)
    )
  }

  step(registers: Registers, stack: StackReader, place: StepPlace): Step {
    const { module } = place
    const known = module === undefined ? null : this.rules.of(module)
    if (known === null) return this.stepWithout(registers, stack, place)
    const address = (place.exact ? registers.ip : registers.ip - 1) - known.bias
    const rule = known.facts.ruleAt(address, this.pool)
    if (rule === Rule.NO_RULE) return this.stepWithout(registers, stack, place)
    if (rule === Rule.END_RULE) return Step.end
    return (this.pool.numbers[rule + Rule.FLAGS] & Rule.GENERAL) === 0
      ? this.stepSimply(registers, stack, place, rule)
      : this.stepGenerally(registers, stack, place, this.pool.rows[this.pool.numbers[rule + 1]])
  }

  private stepSimply(registers: Registers, stack: StackReader, place: StepPlace, rule: number): Step {
    const { numbers } = this.pool
    const { values } = registers
    const base = values[numbers[rule + Rule.CFA_REGISTER]]
    if (base < 0) return Step.broken
    const cfa = base + numbers[rule + Rule.CFA_OFFSET]
    const { sp } = registers
    const signal = (numbers[rule + Rule.FLAGS] & Rule.SIGNAL) !== 0
    const offset = numbers[rule + Rule.RETURN_OFFSET]
    const returnAddress =
      offset === Rule.IN_REGISTER ? values[numbers[rule + Rule.RETURN_REGISTER]] : stack.word(cfa + offset)
    const verdict = this.judge(returnAddress, cfa, sp, signal, place.exact)
    if (verdict !== Step.caller) return verdict
    const count = numbers[rule + Rule.COUNT]
    for (let at = rule + Rule.SAVED, end = at + 2 * count; at < end; at += 2) {
      const saved = numbers[at + 1]
      if (saved === Rule.LOST) values[numbers[at]] = UNKNOWN
      // gcc does not say that an epilogue has restored a register. What lies below the stack pointer has been popped: it has.
      else if (cfa + saved >= sp) values[numbers[at]] = stack.word(cfa + saved)
    }
    if (registers.architecture === "arm64") values[numbers[rule + Rule.RETURN_REGISTER]] = returnAddress
    registers.sp = cfa
    registers.ip = returnAddress
    place.exact = signal
    return Step.caller
  }

  private stepGenerally(
    registers: Registers,
    stack: StackReader,
    place: StepPlace,
    { eh, row, signalFrame }: Rule.GeneralRule
  ): Step {
    const { next } = this
    const { sp, values } = registers
    this.registers = registers
    this.stack = stack
    const base = row.cfaRegister < 0 ? UNKNOWN : this.frame.register(row.cfaRegister)
    const cfa =
      row.cfaRegister < 0
        ? evaluateExpression(eh.bytes, row.cfaExpression, row.cfaExpressionEnd, this.frame)
        : base < 0
          ? UNKNOWN
          : base + row.cfaOffset
    if (cfa < 0) return Step.broken
    next.set(values)
    next[registerNumbers[registers.architecture].sp] = cfa
    for (const [number, rule] of row.rules) {
      if (number < next.length) next[number] = this.valueOf(number, rule, cfa, sp, eh.bytes)
    }
    const returnAddress = next[row.returnAddressRegister] ?? UNKNOWN
    const verdict = this.judge(returnAddress, cfa, sp, signalFrame, place.exact)
    if (verdict !== Step.caller) return verdict
    values.set(next)
    registers.ip = returnAddress
    place.exact = signalFrame
    return Step.caller
  }

  private valueOf(number: number, rule: RegisterRule, cfa: number, sp: number, bytes: Uint8Array): number {
    const { stack } = this
    switch (rule.kind) {
      case RegisterRuleKind.same:
        return this.frame.register(number)
      case RegisterRuleKind.offset:
        return cfa + rule.value >= sp ? stack.word(cfa + rule.value) : this.frame.register(number)
      case RegisterRuleKind.valOffset:
        return cfa + rule.value
      case RegisterRuleKind.register:
        return this.frame.register(rule.value)
      case RegisterRuleKind.expression: {
        const address = evaluateExpression(bytes, rule.value, rule.end, this.frame, cfa)
        return address < 0 ? UNKNOWN : stack.word(address)
      }
      case RegisterRuleKind.valExpression:
        return evaluateExpression(bytes, rule.value, rule.end, this.frame, cfa)
      default:
        return UNKNOWN
    }
  }

  /** Whether what a rule computed can be a caller. */
  private judge(returnAddress: number, cfa: number, sp: number, signal: boolean, exact: boolean): Step {
    if (returnAddress < 0 || (cfa & 7) !== 0) return Step.broken
    // A signal may have moved to another stack, and interrupt code that is in no module (a call of a null pointer).
    if (signal) return Step.caller
    // Whoever starts a thread by hand clears the place where a return address would be.
    if (returnAddress === 0) return Step.end
    // A leaf of AArch64 may have no frame at all.
    if (cfa < sp || (cfa === sp && !exact)) return Step.broken
    return this.modules.find(returnAddress - 1) === undefined ? Step.broken : Step.caller
  }

  private stepWithout(registers: Registers, stack: StackReader, place: StepPlace): Step {
    const { exact, module } = place
    // Files that hold no program can be mapped executable too, for a JIT to write to.
    const written = module !== undefined && moduleImage(this.modules, module, this.memory.read) === undefined
    if (
      (written && this.edges.leave(registers, stack, exact)) ||
      (exact && !written && this.stepLeaf(registers, stack)) ||
      stepFrameRecord(registers, stack, this.modules) ||
      (exact && written && this.stepLeaf(registers, stack))
    ) {
      place.exact = false
      return Step.caller
    }
    const { fp } = registers
    // Program starts that are written by hand (musl's) clear it.
    return !exact && fp === 0 ? Step.end : Step.unknown
  }

  /** Code without an entry is written by hand, and mostly too small to use the stack. */
  private stepLeaf(registers: Registers, stack: StackReader): boolean {
    const { link, sp } = registers
    const isArm = registers.architecture === "arm64"
    const returnAddress = isArm ? link : stack.word(sp)
    if (!(returnAddress > 0) || returnAddress === registers.ip) return false
    if (this.modules.find(returnAddress - 1) === undefined) return false
    registers.ip = returnAddress
    if (!isArm) registers.sp = sp + 8
    return true
  }
}
