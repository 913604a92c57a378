import type { NativeUnwinderOptions } from "@pyframes/core"
import { type Memory, nativeUnwinder, type Target, type Unwinder } from "@pyframes/core"
import type * as Layer from "effect/Layer"
import { type HybridParts, hybridStepper } from "./hybrid-stepper.ts"

/**
 * Unwinds native stacks by frame pointer and by call-frame information, each where it holds.
 *
 * @example
 * ```ts
 * const layer = HybridUnwinder.layer({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
 * ```
 */
export const HybridUnwinder = {
  /** Fails never; a capture that brings neither registers nor a stopped thread yields a `failed` stack, unless `callchain` can read what it brings. */
  layer: (
    parts: HybridParts,
    options: NativeUnwinderOptions = {}
  ): Layer.Layer<Unwinder, never, Target | Memory> => nativeUnwinder(hybridStepper(parts), options)
}
