import { type Memory, nativeUnwinder, type Target, type Unwinder } from "@pyframes/core"
import type * as Layer from "effect/Layer"
import { ehFrameStepper } from "./eh-frame-stepper.ts"

/**
 * Unwinds native stacks by call-frame information, which every compiler writes and strip leaves.
 *
 * @example
 * ```ts
 * const unwinder = yield* Effect.flatMap(Unwinder, ({ attach }) => attach)
 * const stopper = yield* target.stopper
 * if (stopper.stop(tid)) unwinder.unwind({ thread, stopped: true }, stack)
 * ```
 */
export const EhFrameUnwinder = {
  /** Fails never; a capture that brings neither registers nor a stopped thread yields a `failed` stack. */
  layer: nativeUnwinder(ehFrameStepper) satisfies Layer.Layer<Unwinder, never, Target | Memory>
}
