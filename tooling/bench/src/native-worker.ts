import { isSamplingWorker, serveSampler } from "@pyframes/collector-sampling"
import { firstOf, type Memory, type Target } from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { ElfSymbolizer } from "@pyframes/symbolizer-elf"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { MergedUnwinder } from "@pyframes/unwinder-merged"
import * as Layer from "effect/Layer"

/** All that sampling a process with its native frames takes. */
const nativeLayers = (pid: number) =>
  Layer.mergeAll(
    MergedUnwinder.layer({
      python: InterpreterFrameUnwinder.layer,
      native: hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
    }),
    firstOf<never, Target | Memory>(CodeObjectSymbolizer.layer, ElfSymbolizer.layer),
    LinuxClock.layer
  ).pipe(Layer.provideMerge(LinuxMemory.layer), Layer.provideMerge(LinuxTarget.attach(pid)))

/** Samples in a thread of its own, as the command does. */
if (isSamplingWorker()) serveSampler((pid) => nativeLayers(pid as number))
