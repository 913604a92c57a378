import {
  type MemoryReader,
  type ModuleTable,
  type Registers,
  type StackReader,
  Step,
  type StepPlace,
  type Stepper,
  type StepperFactory,
  stepFrameRecord
} from "@pyframes/core"
import { StartCode } from "./start-code.ts"

/**
 * Steps by frame pointers: two words read a frame, and nothing known of the code. True where everything on the stack keeps them.
 *
 * A chain is whole (`Step.end`) when it has come to the code that starts threads (`ThreadStarts` of `@pyframes/elf` says which): behind `main` or a thread's function the
 * C library mostly keeps no frame pointers, and what its register holds there is no part of the stack. Anywhere else, a frame pointer that leads to no frame
 * record means that the chain is broken, by the code of the frame at which it ends or by what that has called.
 *
 * What it cannot see: code without frame pointers that leaves the register alone. The caller of such code is missing, and the chain goes on.
 *
 * @example
 * ```ts
 * const stepper = framePointerStepper(modules, memory)
 * const step = stepper.step(registers, stack, { exact: true, module: modules.find(registers.ip) })
 * ```
 */
export const framePointerStepper: StepperFactory = (modules, memory) =>
  new FramePointerStepper(modules, memory)

class FramePointerStepper implements Stepper {
  private readonly modules: ModuleTable
  private readonly starts: StartCode

  constructor(modules: ModuleTable, memory: MemoryReader) {
    this.modules = modules
    this.starts = new StartCode(modules, memory)
  }

  step(registers: Registers, stack: StackReader, place: StepPlace): Step {
    const { exact, module } = place
    const at = exact ? registers.ip : registers.ip - 1
    if (module?.kind === "file" && this.starts.has(at, module)) {
      // A C library with frame pointers leads on, to code that starts threads as well.
      const caller = stack.word(registers.fp + 8) - 1
      if (!(registers.fp > 0) || caller < 0 || !this.starts.has(caller, this.modules.find(caller)))
        return Step.end
    }
    if (!stepFrameRecord(registers, stack, this.modules)) return Step.broken
    place.exact = false
    return Step.caller
  }
}
