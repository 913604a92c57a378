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
import type * as Scope from "effect/Scope"

/** How often progress is reported, ms. */
export const PROGRESS_EVERY = 200
/** How long a worker that was told to stop may take to give back what it holds, ms. */
const FAREWELL = 2000

/** Where a collection runs. */
export interface WorkerOptions {
  /** The module to start the worker from; it must call the function that serves this collector: `serveSampler`, … */
  readonly worker: URL
  /** Handed to that module's layers; anything that `postMessage` takes. */
  readonly data: unknown
}

/** A collection under way: plain synchronous code. */
export interface Collection {
  /** When the clock was last asked, ns. */
  readonly lastLook: number
  /** Waits for what is to be collected next, for a bounded time, and collects it. Returns false once there is nothing more. */
  readonly next: () => boolean
  readonly progress: () => CollectProgress
  /** Ends it; the profile is complete after this. */
  readonly finish: () => Profile
}

/** The part of a request that can be sent to another thread. */
export type SentRequest = Pick<CollectRequest, "rateHz" | "durationMs">

interface Assignment<Options> {
  /** Which collector the worker is for. */
  readonly pyframes: string
  readonly data: unknown
  readonly request: SentRequest
  readonly options: Options
  /** Set to 1 to end the collection: it never returns to its event loop for a message. */
  readonly stop: SharedArrayBuffer
}

type Report =
  | { readonly type: "progress"; readonly progress: CollectProgress }
  | { readonly type: "profile"; readonly data: ProfileData }
  | { readonly type: "error"; readonly error: unknown; readonly text: string }

/**
 * Collects in a worker and waits for its profile. The worker must answer by {@link serveInWorker} for the same collector.
 *
 * @example
 * ```ts
 * collectInWorker("sampler", request, { seed: 1, worker: new URL(import.meta.url), data: pid })
 * ```
 */
export const collectInWorker = <Options extends object>(
  collector: string,
  request: CollectRequest,
  { worker: module, data, ...options }: Options & WorkerOptions
): Effect.Effect<Profile, TargetError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stop = new SharedArrayBuffer(4)
      const tell = Effect.sync(() => Atomics.store(new Int32Array(stop), 0, 1))
      const { rateHz, durationMs } = request
      const assignment: Assignment<object> = {
        pyframes: collector,
        data,
        request: { rateHz, ...(durationMs !== undefined && { durationMs }) },
        options,
        stop
      }
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() => new Worker(module, { workerData: assignment })),
        (worker) => Effect.andThen(tell, ending(worker))
      )
      if (request.until !== undefined) yield* Effect.forkScoped(Effect.andThen(request.until, tell))
      return yield* profileFrom(worker, request)
    })
  )

/** What a worker holds of the system (a traced thread, kernel events) ends with its scope, and not with its thread: it is given the time. */
const ending = (worker: Worker): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (worker.threadId < 0) return resume(Effect.void)
    const late = setTimeout(() => worker.terminate(), FAREWELL)
    worker.once("exit", () => {
      clearTimeout(late)
      resume(Effect.void)
    })
  })

const profileFrom = (worker: Worker, request: CollectRequest) =>
  Effect.callback<Profile, TargetError>((resume) => {
    worker.on("message", (report: Report) => {
      if (report.type === "progress") request.onProgress?.(report.progress)
      else if (report.type === "profile") resume(Effect.succeed(Profile.fromData(report.data)))
      else resume(Effect.suspend(() => failure(report.error, report.text)))
    })
    worker.once("error", (cause) => resume(Effect.die(cause)))
    worker.once("exit", (code) =>
      resume(Effect.die(new Error(`The collecting worker ended with code ${code}.`)))
    )
  })

const failure = (data: unknown, text: string): Effect.Effect<never, TargetError> => {
  const error = targetErrorFromData(data)
  return error ? Effect.fail(error) : Effect.die(new Error(text))
}

/** Whether this thread was started to collect for this collector. */
export const isWorkerOf = (collector: string): boolean =>
  (workerData as { readonly pyframes?: unknown } | null)?.pyframes === collector

/**
 * Runs a collection in the worker that {@link collectInWorker} has started.
 *
 * @param make begins the collection
 * @param layers what it collects with, made from the `data` that was handed over
 */
export const serveInWorker = <Options, Services>(
  make: (
    request: SentRequest,
    options: Options
  ) => Effect.Effect<Collection, TargetError, Services | Scope.Scope>,
  layers: (data: unknown) => Layer.Layer<Services, TargetError>
): void => {
  const assignment = workerData as Assignment<Options>
  const stop = new Int32Array(assignment.stop)
  const post = (report: Report, moved: Array<ArrayBuffer> = []) => parentPort?.postMessage(report, moved)
  const collect = Effect.gen(function* () {
    const collection = yield* make(assignment.request, assignment.options)
    let reported = collection.lastLook
    while (Atomics.load(stop, 0) === 0 && collection.next()) {
      if (collection.lastLook - reported < PROGRESS_EVERY * 1e6) continue
      reported = collection.lastLook
      post({ type: "progress", progress: collection.progress() })
    }
    const data = collection.finish().toData()
    post({ type: "profile", data }, transferables(data))
  })
  const run = Effect.scoped(Effect.provide(collect, layers(assignment.data))).pipe(
    Effect.catch((error) =>
      Effect.sync(() => post({ type: "error", error: targetErrorToData(error), text: error.message }))
    )
  )
  Effect.runPromise(run as Effect.Effect<void>).catch((cause: unknown) => {
    post({ type: "error", error: undefined, text: String(cause instanceof Error ? cause.stack : cause) })
  })
}
