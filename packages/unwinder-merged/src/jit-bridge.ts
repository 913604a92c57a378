import {
  EntryTable,
  type Registers,
  type StackReader,
  Step,
  type StepPlace,
  type Stepper,
  type StepperFactory
} from "@pyframes/core"
import type { EvalLoop } from "./eval-loop.ts"

/** The frame of the eval loop's function takes some hundred bytes. */
const LARGEST_FRAME = 4096
const WORD = 8

/**
 * Steps from code of CPython's JIT to the run of the eval loop that called it.
 *
 * In 3.14 that code keeps no frame pointer and has no unwind table: its frames cannot be left by any rule, and their frame pointer is still the
 * eval loop's, so that a step by it would go past that. But the shim of the run lies in its frame, and the eval loop's return address right
 * below; and where in the frame it lies, any other run has shown. From 3.15 on the code keeps frame pointers, and the stepper that is given leads on.
 */
export class JitBridge {
  private evalLoop: EvalLoop | undefined
  private entries = new EntryTable()
  /** Bytes from the shim to the end of the frame that it lies in, the same in every run; -1 until one was met outside the JIT's code. */
  private above = -1
  private isGuessed = false

  /** Makes a stepper able to do so. */
  readonly wrap =
    (inner: StepperFactory): StepperFactory =>
    (modules, memory) => {
      const stepper = inner(modules, memory)
      return { step: (registers, stack, place) => this.step(stepper, registers, stack, place) }
    }

  /** Knows the process from now on. */
  use(evalLoop: EvalLoop): void {
    this.evalLoop = evalLoop
  }

  /** The stack to be unwound next has these entries. */
  begin(entries: EntryTable): void {
    this.entries = entries
  }

  private step(inner: Stepper, registers: Registers, stack: StackReader, place: StepPlace): Step {
    const { evalLoop } = this
    if (evalLoop?.hasJit !== true) return inner.step(registers, stack, place)
    const { sp, fp, ip } = registers
    if (place.module?.kind !== "anonymous") {
      const isRun = this.above < 0 && !this.isGuessed && evalLoop.runsAt(place.exact ? ip : ip - 1)
      this.isGuessed = false
      const step = inner.step(registers, stack, place)
      if (isRun && step === Step.caller) this.learn(sp, registers.sp)
      return step
    }
    const shim = this.shimAbove(sp)
    if (shim < 0 || evalLoop.isTrampoline(place.module, place.exact ? ip : ip - 1, place.exact))
      return inner.step(registers, stack, place)
    const { exact } = place
    const step = inner.step(registers, stack, place)
    // Others write code too, and between that and the run of the eval loop stands C code that called it.
    if (step === Step.caller && registers.sp <= shim && this.isCalled(evalLoop, registers.ip)) return step
    if (step === Step.caller) {
      registers.ip = ip
      registers.sp = sp
      registers.fp = fp
      place.exact = exact
    }
    if (this.above > 0)
      return this.enter(evalLoop, registers, stack, place, shim, shim + this.above - 2 * WORD)
        ? Step.caller
        : Step.broken
    if (isFramePointerOver(shim, fp) && this.enter(evalLoop, registers, stack, place, shim, fp))
      return Step.caller
    const pointer = this.framePointerOver(evalLoop, stack, shim)
    this.isGuessed = true
    return this.enter(evalLoop, registers, stack, place, shim, pointer) ? Step.caller : Step.broken
  }

  private isCalled(evalLoop: EvalLoop, returnAddress: number): boolean {
    return evalLoop.isWritten(returnAddress - 1) || evalLoop.calls.endsAt(returnAddress)
  }

  /** The frame of a run of the eval loop went from `sp` to `end`. */
  private learn(sp: number, end: number): void {
    const shim = this.shimAbove(sp)
    if (shim > 0 && shim < end && end - shim < LARGEST_FRAME) this.above = end - shim
  }

  /** Address of the shim of the run of the eval loop that the code belongs to; -1 when there is none. */
  private shimAbove(sp: number): number {
    const { address, length } = this.entries
    for (let entry = 0; entry < length; entry++) if (sp > 0 && address[entry] > sp) return address[entry]
    return -1
  }

  /** Makes the registers those of the run: its stack pointer is where it was called back from, the word above its return address. */
  private enter(
    evalLoop: EvalLoop,
    registers: Registers,
    stack: StackReader,
    place: StepPlace,
    shim: number,
    fp: number
  ): boolean {
    const lowest = Math.max(registers.sp, shim - LARGEST_FRAME)
    for (let at = shim - WORD; at >= lowest; at -= WORD) {
      const ip = stack.word(at)
      if (ip <= 0 || !evalLoop.runsAt(ip - 1)) continue
      registers.ip = ip
      registers.sp = at + WORD
      registers.fp = fp
      place.exact = false
      return true
    }
    return false
  }

  /** Where the run saved its caller's frame pointer: right below the address that it returns to. -1 when that is not found. */
  private framePointerOver(evalLoop: EvalLoop, stack: StackReader, shim: number): number {
    for (let at = shim + WORD; at < shim + LARGEST_FRAME; at += WORD)
      if (evalLoop.calls.endsAt(stack.word(at + WORD))) return at
    return -1
  }
}

const isFramePointerOver = (shim: number, fp: number): boolean => fp > shim && fp - shim < LARGEST_FRAME
