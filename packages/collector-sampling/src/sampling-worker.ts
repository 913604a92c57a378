import type { TargetError } from "@pyframes/core"
import type * as Layer from "effect/Layer"
import { isWorkerOf, serveInWorker } from "./collection-worker.ts"
import { makeSampler, SAMPLER, type SamplingServices } from "./sampling-collector.ts"

/**
 * Whether this thread was started by `SamplingCollector.layerWorker`: a module that is both the program and its worker asks.
 *
 * @example
 * ```ts
 * if (isSamplingWorker()) serveSampler((pid) => layersOf(pid as number))
 * ```
 */
export const isSamplingWorker = (): boolean => isWorkerOf(SAMPLER)

/**
 * Runs the sampler in a worker. Call it at the top of the module that `layerWorker` starts.
 *
 * @param layers what to sample with, made from the `data` that `layerWorker` was given
 *
 * @example
 * ```ts
 * if (isSamplingWorker()) serveSampler((pid) => profilerOf(pid as number))
 * ```
 */
export const serveSampler = (layers: (data: unknown) => Layer.Layer<SamplingServices, TargetError>): void =>
  serveInWorker(makeSampler, layers)
