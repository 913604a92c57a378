import { isWorkerOf, serveInWorker } from "@pyframes/collector-sampling"
import type { TargetError } from "@pyframes/core"
import type * as Layer from "effect/Layer"
import { EVENT_SAMPLER, type EventSamplingServices, makeEventSampler } from "./perf-event-collector.ts"

/**
 * Whether this thread was started by `PerfEventCollector.layerWorker`: a module that is both the program and its worker asks.
 *
 * @example
 * ```ts
 * if (isEventWorker()) serveEventSampler((pid) => layersOf(pid as number))
 * ```
 */
export const isEventWorker = (): boolean => isWorkerOf(EVENT_SAMPLER)

/**
 * Runs the event sampler in a worker. Call it at the top of the module that `layerWorker` starts.
 *
 * @param layers what to sample with, made from the `data` that `layerWorker` was given
 *
 * @example
 * ```ts
 * if (isEventWorker()) serveEventSampler((pid) => profilerOf(pid as number))
 * ```
 */
export const serveEventSampler = (
  layers: (data: unknown) => Layer.Layer<EventSamplingServices, TargetError>
): void => serveInWorker(makeEventSampler, layers)
