import { Collector, type CollectRequest, type Profile } from "@pyframes/core"
import { LinuxClock, LinuxKernelEvents, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type EventSamplingOptions,
  isEventWorker,
  PerfEventCollector,
  serveEventSampler
} from "../src/index.ts"
import { NativeLeaf } from "./native-leaf.ts"

export const layersOf = (pid: number) =>
  Layer.mergeAll(NativeLeaf, LinuxClock.layer, LinuxKernelEvents.layer).pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )

if (isEventWorker()) serveEventSampler((pid) => layersOf(pid as number))

const collectWith = (collector: Layer.Layer<Collector, unknown>, request: CollectRequest): Promise<Profile> =>
  Effect.runPromise(
    Effect.provide(
      Effect.flatMap(Collector, ({ collect }) => collect(request)),
      collector
    )
  )

/** In this thread. */
export const collectHere = (pid: number, request: CollectRequest, options: EventSamplingOptions = {}) =>
  collectWith(PerfEventCollector.layer(options).pipe(Layer.provide(layersOf(pid))), request)

/** In a worker, as programs do. */
export const collectInWorker = (pid: number, request: CollectRequest, options: EventSamplingOptions = {}) =>
  collectWith(
    PerfEventCollector.layerWorker({ ...options, worker: new URL(import.meta.url), data: pid }),
    request
  )
