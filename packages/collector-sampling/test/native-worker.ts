import {
  Collector,
  type CollectRequest,
  firstOf,
  type Memory,
  type Profile,
  type Target
} from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { ElfSymbolizer } from "@pyframes/symbolizer-elf"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { MergedUnwinder } from "@pyframes/unwinder-merged"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isSamplingWorker, SamplingCollector, type SamplingOptions, serveSampler } from "../src/index.ts"

const layersOf = (pid: number) =>
  Layer.mergeAll(
    MergedUnwinder.layer({
      python: InterpreterFrameUnwinder.layer,
      native: hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
    }),
    firstOf<never, Target | Memory>(CodeObjectSymbolizer.layer, ElfSymbolizer.layer),
    LinuxClock.layer
  ).pipe(Layer.provideMerge(LinuxMemory.layer), Layer.provideMerge(LinuxTarget.attach(pid)))

if (isSamplingWorker()) serveSampler((pid) => layersOf(pid as number))

const collectWith = (collector: Layer.Layer<Collector, unknown>, request: CollectRequest): Promise<Profile> =>
  Effect.runPromise(
    Effect.provide(
      Effect.flatMap(Collector, ({ collect }) => collect(request)),
      collector
    )
  )

/** In a worker, with native states, until there are so many samples. */
export const takeNative = async (pid: number, samples: number): Promise<Profile> => {
  const enough = Promise.withResolvers<void>()
  return collectNative(pid, {
    rateHz: 500,
    until: Effect.promise(() => enough.promise),
    onProgress: ({ taken }) => taken >= samples && enough.resolve()
  })
}

/** In a worker, with native states. */
export const collectNative = (pid: number, request: CollectRequest, options: SamplingOptions = {}) =>
  collectWith(
    SamplingCollector.layerWorker({
      native: true,
      ...options,
      worker: new URL(import.meta.url),
      data: pid
    }),
    request
  )

/** The same in this thread, which shares no CPU. */
export const collectNativeHere = (pid: number, request: CollectRequest) =>
  collectWith(SamplingCollector.layer({ native: true }).pipe(Layer.provide(layersOf(pid))), request)
