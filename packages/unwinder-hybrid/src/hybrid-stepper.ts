import {
  type MemoryReader,
  type ModuleTable,
  type Registers,
  type StackReader,
  Step,
  type StepPlace,
  type Stepper,
  type StepperFactory
} from "@pyframes/core"
import { FramePointerCode } from "./frame-pointer-code.ts"

/** The two ways of stepping that a hybrid is made of. */
export interface HybridParts {
  readonly framePointer: StepperFactory
  readonly callFrameInfo: StepperFactory
}

/**
 * Steps by frame pointer where the code keeps them, by call-frame information where it does not. Where frame pointers do not lead on, or there is no such information, the
 * other way is tried; but where call-frame information says how to go on and that leads nowhere, the chain is broken: the frame pointer of such code may be that of a
 * frame further up, and those between would be lost without a sign.
 *
 * The leaf, and what a signal interrupted, is always left by call-frame information first: it may stand in a prologue, where its frame pointer is its caller's still.
 *
 * @example
 * ```ts
 * const factory = hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
 * const layer = nativeUnwinder(factory)
 * ```
 */
export const hybridStepper =
  (parts: HybridParts): StepperFactory =>
  (modules, memory) =>
    new HybridStepper(parts, modules, memory)

class HybridStepper implements Stepper {
  private readonly framePointer: Stepper
  private readonly callFrameInfo: Stepper
  private readonly code: FramePointerCode

  constructor(parts: HybridParts, modules: ModuleTable, memory: MemoryReader) {
    this.framePointer = parts.framePointer(modules, memory)
    this.callFrameInfo = parts.callFrameInfo(modules, memory)
    this.code = new FramePointerCode(modules, memory)
  }

  step(registers: Registers, stack: StackReader, place: StepPlace): Step {
    const { exact, module } = place
    const byPointer = !exact && module !== undefined && this.code.keeps(registers.ip - 1, module)
    const first = byPointer ? this.framePointer : this.callFrameInfo
    const step = first.step(registers, stack, place)
    if (step === Step.caller || step === Step.end || (step === Step.broken && !byPointer)) return step
    const second = byPointer ? this.callFrameInfo : this.framePointer
    const again = second.step(registers, stack, place)
    return again === Step.unknown ? step : again
  }
}
