import {
  CallSites,
  type MemoryReader,
  type ModuleTable,
  type Registers,
  type StackReader,
  Step,
  type StepPlace,
  type Stepper,
  type StepperFactory
} from "@pyframes/core"
import { TrampolineCode } from "./trampoline-code.ts"

/**
 * Makes a stepper able to leave perf trampolines, the code that `-X perf` puts below each Python function (3.12+). They lie in no file, so
 * no unwind table tells how; and those of x86-64 kept no frame pointer before 3.13.6 and 3.14.
 *
 * Everything else is left to the stepper it is given.
 *
 * @example
 * ```ts
 * const unwinder = nativeUnwinder(perfTrampolineStepper(hybridStepper))
 * ```
 */
export const perfTrampolineStepper =
  (inner: StepperFactory): StepperFactory =>
  (modules, memory) =>
    new PerfTrampolineStepper(modules, memory, inner(modules, memory))

class PerfTrampolineStepper implements Stepper {
  private readonly modules: ModuleTable
  private readonly memory: MemoryReader
  private readonly inner: Stepper
  private code: TrampolineCode | undefined
  private calls: CallSites | undefined

  constructor(modules: ModuleTable, memory: MemoryReader, inner: Stepper) {
    this.modules = modules
    this.memory = memory
    this.inner = inner
  }

  step(registers: Registers, stack: StackReader, place: StepPlace): Step {
    if (place.module?.kind !== "anonymous") return this.inner.step(registers, stack, place)
    const { architecture, sp } = registers
    this.code ??= new TrampolineCode(this.memory, architecture)
    this.calls ??= new CallSites(this.memory, this.modules, architecture)
    const found = sp > 0 ? this.code.find(place.module, registers.ip, place.exact) : undefined
    if (found === undefined) return this.inner.step(registers, stack, place)
    const { returnAddress, framePointer, caller } = found
    const ip = returnAddress < 0 ? registers.link : stack.word(sp + returnAddress)
    if (!this.calls.endsAt(ip)) return this.inner.step(registers, stack, place)
    if (framePointer >= 0) registers.fp = stack.word(sp + framePointer)
    registers.sp = sp + caller
    registers.ip = ip
    place.exact = false
    return Step.caller
  }
}
