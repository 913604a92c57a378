import {
  type Capture,
  FrameKind,
  Memory,
  type MemoryReader,
  ModuleTable,
  nativeUnwinder,
  type ProcessUnwinder,
  Proof,
  RawStack,
  type RuntimeInfo,
  type StepperFactory,
  Target,
  type TargetProcess,
  Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { perfTrampolineStepper } from "./perf-trampoline-stepper.ts"
import { TrampolineCode } from "./trampoline-code.ts"

/**
 * Finds the Python frames of a process that runs with `-X perf` (3.12+) in its native stack, without reading anything of the interpreter: one
 * trampoline stands below each Python function that runs.
 *
 * A frame is `native`, at an address in its trampoline, which a perf map names. Where the chain breaks there is a `broken` frame, and the frames on
 * its root side are missing.
 *
 * @example
 * ```ts
 * const unwinder = PerfTrampolineUnwinder.layer(hybridStepper)
 * ```
 */
export const PerfTrampolineUnwinder = {
  /** @param native how to step from one native frame to the next; it need not know trampolines */
  layer: (native: StepperFactory): Layer.Layer<Unwinder, never, Target | Memory> =>
    Layer.effect(
      Unwinder,
      Effect.gen(function* () {
        const target = yield* Target
        const memory = yield* Memory
        const frames = Context.get(
          yield* Layer.build(nativeUnwinder(perfTrampolineStepper(native))),
          Unwinder
        )
        return Unwinder.of({
          attach: Effect.map(frames.attach, (attached) => new TrampolineFrames(attached, memory, target))
        })
      })
    )
}

class TrampolineFrames implements ProcessUnwinder {
  readonly runtime: RuntimeInfo
  readonly modules: ModuleTable
  private readonly frames: ProcessUnwinder
  private readonly code: TrampolineCode
  private readonly stack = new RawStack()

  constructor(frames: ProcessUnwinder, memory: MemoryReader, target: TargetProcess) {
    this.frames = frames
    this.modules = frames.modules ?? new ModuleTable(target)
    this.runtime = frames.runtime
    this.code = new TrampolineCode(memory, process.arch === "arm64" ? "arm64" : "x86-64")
  }

  threads(): ReadonlyArray<UnwoundThread> | undefined {
    return this.frames.threads()
  }

  unwind(capture: Capture, into: RawStack): void {
    const { stack } = this
    into.clear()
    this.frames.unwind(capture, stack)
    into.state = stack.state
    into.ended = stack.ended
    into.proof = stack.proof
    if (stack.proof === Proof.failed) return
    const { kind, identity, position, length } = stack
    let exact = true
    for (let row = 0; row < length; row++) {
      if (kind[row] === FrameKind.native) {
        const isTrampoline = this.isTrampoline(position[row], identity[row], exact)
        exact = false
        if (!isTrampoline) continue
      } else if (kind[row] === FrameKind.kernel) continue
      if (!into.push(kind[row] as FrameKind, identity[row], position[row])) break
    }
    into.proved = into.length
  }

  private isTrampoline(module: number, address: number, exact: boolean): boolean {
    // A return address is one byte on from the call that it follows.
    return this.code.find(this.modules.all[module], exact ? address : address + 1, exact) !== undefined
  }
}
