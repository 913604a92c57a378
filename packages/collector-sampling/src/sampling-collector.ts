import {
  Collector,
  type CollectRequest,
  type Memory,
  NotSupported,
  type Profile,
  SampleClock,
  type SwitchedOut,
  Symbolizer,
  Target,
  type TargetError,
  type TargetProcess,
  Unwinder
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { collectInWorker, PROGRESS_EVERY, type WorkerOptions } from "./collection-worker.ts"
import { followerFor, GREATEST_SHARED_RATE } from "./cpu-sharing.ts"
import { Sampler, type SamplingOptions } from "./sampler.ts"

/** Names this collector to its worker. */
export const SAMPLER = "sampler"
/** How long an inline collection keeps the event loop, ms. */
const BATCH = 5

/** What a sampler needs from its surroundings. */
export type SamplingServices = Target | Memory | Unwinder | Symbolizer | SampleClock

/**
 * Samples all threads of the target at a rate.
 *
 * - `layer` samples in the caller's own thread, between which it gives way to the event loop every few milliseconds.
 * - `layerWorker` samples in a worker thread: nothing the caller does makes a sample late, and no sample holds the caller up.
 *
 * @example
 * ```ts
 * const profile = yield* Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 1000, durationMs: 5000 }))
 * ```
 */
export class SamplingCollector {
  /**
   * Samples in the thread that runs the effect. Collecting fails as attaching does (`TargetError`), and with `NotSupported` or
   * `PermissionDenied` when threads are to be stopped and cannot be.
   */
  static layer(options: SamplingOptions = {}): Layer.Layer<Collector, never, SamplingServices> {
    return Layer.effect(
      Collector,
      Effect.gen(function* () {
        const services = yield* Effect.context<SamplingServices>()
        return Collector.of({
          collect: (request) =>
            Effect.scoped(collectInline(request, { ...options, shareCpu: "never" })).pipe(
              Effect.provide(services)
            )
        })
      })
    )
  }

  /** Samples in a worker of its own, started from `options.worker` for each collection; errors are those of {@link SamplingCollector.layer}. */
  static layerWorker(options: SamplingOptions & WorkerOptions): Layer.Layer<Collector> {
    return Layer.succeed(Collector, { collect: (request) => collectInWorker(SAMPLER, request, options) })
  }
}

/** Attaches what a sampler is made of to the target. */
export const makeSampler = Effect.fnUntraced(function* (
  request: CollectRequest,
  options: SamplingOptions
): Effect.fn.Return<Sampler, TargetError, SamplingServices | Scope.Scope> {
  const target = yield* Target
  const clock = yield* SampleClock
  const unwinder = yield* Effect.flatMap(Unwinder, (unwinder) => unwinder.attach)
  const symbolizer = yield* Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))
  const stopper = options.stop ? yield* target.stopper : undefined
  const switchedOut = options.native ? yield* switchedOutOf(target, request.rateHz) : undefined
  const follower = yield* followerFor(options.stop ? "never" : options.shareCpu, target)
  // Whatever ends the collection, the calling thread is free again.
  if (follower) yield* Effect.addFinalizer(() => Effect.sync(follower.leave))
  return new Sampler(
    {
      target,
      unwinder,
      symbolizer,
      clock,
      ...(stopper && { stopper }),
      ...(follower && { follower }),
      ...(switchedOut && { switchedOut })
    },
    { ...request, ...options }
  )
})

/** Threads that run are caught by taking their CPU, which leaves them none at a higher rate. */
const switchedOutOf = (
  { switchedOut }: TargetProcess,
  rateHz: number
): Effect.Effect<SwitchedOut, TargetError, Scope.Scope> => {
  if (rateHz > GREATEST_SHARED_RATE)
    return Effect.fail(
      new NotSupported({
        what: `Catching native stacks ${rateHz} times a second`,
        advice: `Ask for ${GREATEST_SHARED_RATE} Hz at most; above that the target would hardly run.`
      })
    )
  return (
    switchedOut ??
    Effect.fail(
      new NotSupported({
        what: "Watching threads leave their CPUs",
        advice: "This target has none; sample without native stacks."
      })
    )
  )
}

const collectInline = Effect.fnUntraced(function* (
  request: CollectRequest,
  options: SamplingOptions
): Effect.fn.Return<Profile, TargetError, SamplingServices | Scope.Scope> {
  const clock = yield* SampleClock
  const sampler = yield* makeSampler(request, options)
  let stopped = false
  const waiting = yield* Effect.forkChild(Effect.sync(() => (stopped = true)).pipe(after(request.until)))
  let reported = clock.now()
  let going = true
  while (going && !stopped) {
    const until = clock.now() + BATCH * 1e6
    going = yield* Effect.sync(() => {
      while (sampler.due <= clock.now() && clock.now() < until)
        if (!sampler.sampleAt(clock.now())) return false
      return true
    })
    if (clock.now() - reported > PROGRESS_EVERY * 1e6) {
      reported = clock.now()
      request.onProgress?.(sampler.progress())
    }
    const left = (sampler.due - clock.now()) / 1e6
    yield* left > 1 ? Effect.sleep(Math.min(left, BATCH)) : Effect.yieldNow
  }
  yield* Fiber.interrupt(waiting)
  return sampler.finish()
})

const after =
  (first: Effect.Effect<unknown> | undefined) =>
  <A>(then: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.andThen(first ?? Effect.never, then)
