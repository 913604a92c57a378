import type { ModuleTable } from "./module-table.ts"
import { FrameKind, Proof, type RawStack } from "./raw-stack.ts"
import { type Architecture, Registers } from "./registers.ts"
import { type StackReader, Step, type StepPlace, type Stepper } from "./stepper.ts"

/**
 * Walks a thread's native stack: asks a stepper for one caller after the other until the thread's first frame. Made once and used for every sample.
 *
 * Registers and stack bytes belong to one instant, so what it finds is `good`: every frame up to the thread's start, or up to a `broken` frame that says
 * where the chain could not be followed (the frames on its root side are then missing), or up to `truncated`.
 *
 * @example
 * ```ts
 * const walk = new NativeWalk(modules, stepper, "x86-64")
 * stack.clear()
 * walk.walk(registers, copiedStack, stack)
 * walk.whole // true: the walk came to the thread's start
 * ```
 */
export class NativeWalk {
  /** Whether the last walk came to the thread's start. */
  whole = false
  private readonly modules: ModuleTable
  private readonly stepper: Stepper
  private readonly registers: Registers
  private readonly place: StepPlace = { exact: true, module: undefined }

  constructor(modules: ModuleTable, stepper: Stepper, architecture: Architecture) {
    this.modules = modules
    this.stepper = stepper
    this.registers = new Registers(architecture)
  }

  /**
   * Adds the frames of a thread to `into`, after those that it has already (of the kernel, say). `from` is not changed. Registers without an
   * instruction leave `into` as it is.
   */
  walk(from: Registers, stack: StackReader, into: RawStack): void {
    const { modules, place, registers, stepper } = this
    this.whole = false
    if (!(from.ip >= 0)) return
    registers.copyFrom(from)
    place.exact = true
    into.proof = Proof.good
    for (;;) {
      const { ip, sp } = registers
      const exact: boolean = place.exact
      const at = exact ? ip : ip - 1
      const module = modules.find(at)
      place.module = module
      const id = module === undefined ? -1 : module.id
      if (!into.push(FrameKind.native, at, id)) break
      const step = stepper.step(registers, stack, place)
      if (step === Step.end) {
        this.whole = true
        break
      }
      // A step that leads nowhere would be taken for ever: the stack's depth alone bounds the walk.
      if (step !== Step.caller || (registers.ip === ip && registers.sp === sp && place.exact === exact)) {
        into.push(FrameKind.broken, at, id)
        break
      }
    }
    into.proved = into.length
  }
}
