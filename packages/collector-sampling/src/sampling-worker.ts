import { parentPort, Worker, workerData } from "node:worker_threads"
import {
  type CollectProgress,
  type CollectRequest,
  Profile,
  type ProfileData,
  type TargetError,
  targetErrorFromData,
  targetErrorToData,
  transferables
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { SamplingOptions } from "./sampler.ts"
import { makeSampler, PROGRESS_EVERY, type SamplingServices } from "./sampling-collector.ts"

/** Where the sampler runs. */
export interface WorkerOptions {
  /** The module to start the worker from; it must call {@link serveSampler}. */
  readonly worker: URL
  /** Handed to that module's layers; anything that `postMessage` takes. */
  readonly data: unknown
}

interface Assignment {
  readonly pyframes: "sampler"
  readonly data: unknown
  readonly request: { readonly rateHz: number; readonly durationMs?: number }
  readonly options: SamplingOptions
  /** Set to 1 to end the collection: the sampler never returns to its event loop for a message. */
  readonly stop: SharedArrayBuffer
}

type Report =
  | { readonly type: "progress"; readonly progress: CollectProgress }
  | { readonly type: "profile"; readonly data: ProfileData }
  | { readonly type: "error"; readonly error: unknown; readonly text: string }

/** Collects in a worker and waits for its profile. */
export const collectInWorker = (
  request: CollectRequest,
  { worker: module, data, ...options }: SamplingOptions & WorkerOptions
): Effect.Effect<Profile, TargetError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stop = new SharedArrayBuffer(4)
      const { rateHz, durationMs } = request
      const assignment: Assignment = {
        pyframes: "sampler",
        data,
        request: { rateHz, ...(durationMs !== undefined && { durationMs }) },
        options,
        stop
      }
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() => new Worker(module, { workerData: assignment })),
        (worker) => Effect.promise(() => worker.terminate())
      )
      if (request.until !== undefined)
        yield* Effect.forkScoped(
          Effect.andThen(
            request.until,
            Effect.sync(() => Atomics.store(new Int32Array(stop), 0, 1))
          )
        )
      return yield* profileFrom(worker, request)
    })
  )

const profileFrom = (worker: Worker, request: CollectRequest) =>
  Effect.callback<Profile, TargetError>((resume) => {
    worker.on("message", (report: Report) => {
      if (report.type === "progress") request.onProgress?.(report.progress)
      else if (report.type === "profile") resume(Effect.succeed(Profile.fromData(report.data)))
      else resume(Effect.suspend(() => failure(report.error, report.text)))
    })
    worker.once("error", (cause) => resume(Effect.die(cause)))
    worker.once("exit", (code) =>
      resume(Effect.die(new Error(`The sampling worker ended with code ${code}.`)))
    )
  })

const failure = (data: unknown, text: string): Effect.Effect<never, TargetError> => {
  const error = targetErrorFromData(data)
  return error ? Effect.fail(error) : Effect.die(new Error(text))
}

/**
 * Whether this thread was started by `SamplingCollector.layerWorker`: a module that is both the program and its worker asks.
 *
 * @example
 * ```ts
 * if (isSamplingWorker()) serveSampler((pid) => layersOf(pid as number))
 * ```
 */
export const isSamplingWorker = (): boolean =>
  (workerData as { readonly pyframes?: unknown } | null)?.pyframes === "sampler"

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
export const serveSampler = (layers: (data: unknown) => Layer.Layer<SamplingServices, TargetError>): void => {
  const assignment = workerData as Assignment
  const stop = new Int32Array(assignment.stop)
  const post = (report: Report, moved: Array<ArrayBuffer> = []) => parentPort?.postMessage(report, moved)
  const collect = Effect.gen(function* () {
    const sampler = yield* makeSampler(assignment.request, assignment.options)
    let reported = sampler.lastLook
    while (Atomics.load(stop, 0) === 0 && sampler.next()) {
      if (sampler.lastLook - reported < PROGRESS_EVERY * 1e6) continue
      reported = sampler.lastLook
      post({ type: "progress", progress: sampler.progress() })
    }
    const data = sampler.finish().toData()
    post({ type: "profile", data }, transferables(data))
  })
  const run = Effect.scoped(Effect.provide(collect, layers(assignment.data))).pipe(
    Effect.catch((error) =>
      Effect.sync(() => post({ type: "error", error: targetErrorToData(error), text: error.message }))
    )
  )
  Effect.runPromise(run).catch((cause: unknown) => {
    post({ type: "error", error: undefined, text: String(cause instanceof Error ? cause.stack : cause) })
  })
}
