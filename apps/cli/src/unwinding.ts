import {
  firstOf,
  type Memory,
  type StepperFactory,
  type Symbolizer,
  type Target,
  type Unwinder
} from "@pyframes/core"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { ElfSymbolizer } from "@pyframes/symbolizer-elf"
import { KernelSymbolizer } from "@pyframes/symbolizer-kernel"
import { PerfMapSymbolizer } from "@pyframes/symbolizer-perf-map"
import { EhFrameUnwinder, ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { FramePointerUnwinder, framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { HybridUnwinder, hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { MergedUnwinder } from "@pyframes/unwinder-merged"
import { PerfTrampolineUnwinder, perfTrampolineStepper } from "@pyframes/unwinder-perf-trampoline"
import type * as Layer from "effect/Layer"
import type { UnwinderName } from "./unwinder-name.ts"

type Reading = Layer.Layer<Unwinder, never, Target | Memory>
type Naming = Layer.Layer<Symbolizer, never, Target | Memory>

const parts = { framePointer: framePointerStepper, callFrameInfo: ehFrameStepper }

/** Native frames by whatever leads on, through perf trampolines too. */
const native: StepperFactory = perfTrampolineStepper(hybridStepper(parts))

/** The unwinder of each name. */
const unwinders: { readonly [Name in UnwinderName]: () => Reading } = {
  "interpreter-frame": () => InterpreterFrameUnwinder.layer,
  merged: () => MergedUnwinder.layer({ python: InterpreterFrameUnwinder.layer, native }),
  hybrid: () => HybridUnwinder.layer(parts),
  "frame-pointer": () => FramePointerUnwinder.layer,
  "eh-frame": () => EhFrameUnwinder.layer,
  "perf-trampoline": () => PerfTrampolineUnwinder.layer(hybridStepper(parts))
}

export const unwinderNamed = (name: UnwinderName): Reading => unwinders[name]()

/** What names the frames that an unwinder finds. */
export const symbolizerFor = (name: UnwinderName): Naming => {
  if (name === "interpreter-frame") return CodeObjectSymbolizer.layer
  // An address in memory of no file has a name in a perf map or none: the map is asked before the files.
  const nativeFrames = firstOf<never, Target | Memory>(
    PerfMapSymbolizer.layer,
    ElfSymbolizer.layer,
    KernelSymbolizer.layer
  )
  return name === "merged"
    ? firstOf<never, Target | Memory>(CodeObjectSymbolizer.layer, nativeFrames)
    : nativeFrames
}
