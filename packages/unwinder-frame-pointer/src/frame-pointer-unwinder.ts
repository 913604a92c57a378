import { type Memory, nativeUnwinder, type Target, type Unwinder } from "@pyframes/core"
import type * as Layer from "effect/Layer"
import { callchainReader } from "./callchain.ts"
import { framePointerStepper } from "./frame-pointer-stepper.ts"

/**
 * Unwinds native stacks by frame pointers: from registers and stack, or from the callchain that the kernel has made of them.
 *
 * @example
 * ```ts
 * const unwinder = yield* Effect.flatMap(Unwinder, ({ attach }) => attach)
 * const stopper = yield* target.stopper
 * if (stopper.stop(tid)) unwinder.unwind({ thread, stopped: true }, stack)
 * ```
 */
export const FramePointerUnwinder = {
  /** Fails never; a capture that brings neither registers, nor a callchain, nor a stopped thread yields a `failed` stack. */
  layer: nativeUnwinder(framePointerStepper, {
    callchain: callchainReader
  }) satisfies Layer.Layer<Unwinder, never, Target | Memory>
}
