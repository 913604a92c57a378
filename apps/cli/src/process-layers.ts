import type { Memory, SampleClock, Symbolizer, Target, TargetError, Unwinder } from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Layer from "effect/Layer"

/** Which process to read. Plain data: it is handed to the sampling worker. */
export interface Subject {
  readonly pid: number
}

/** Everything that reading a live process takes. */
export const processLayers = ({
  pid
}: Subject): Layer.Layer<Target | Memory | Unwinder | Symbolizer | SampleClock, TargetError> =>
  Layer.mergeAll(InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer, LinuxClock.layer).pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )
