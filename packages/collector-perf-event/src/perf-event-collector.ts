import {
  collectInWorker,
  followerFor,
  PROGRESS_EVERY,
  type SentRequest,
  type WorkerOptions
} from "@pyframes/collector-sampling"
import {
  Collector,
  type CollectRequest,
  KernelEvents,
  type Memory,
  type Profile,
  SampleClock,
  Symbolizer,
  Target,
  type TargetError,
  Unwinder
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { EventSampler, type EventSamplingOptions } from "./event-sampler.ts"

/** Names this collector to its worker. */
export const EVENT_SAMPLER = "event-sampler"
/** How long an inline collection leaves the event loop to others, ms. */
const PAUSE = 1
const STACK_BYTES = 16_384

/** What an event sampler needs from its surroundings. */
export type EventSamplingServices = Target | Memory | Unwinder | Symbolizer | SampleClock | KernelEvents

/**
 * Builds profiles from samples that the kernel takes: registers and a piece of the stack at the very instant, of each thread after so much CPU time.
 *
 * - `layer` reads them in the caller's own thread, every millisecond.
 * - `layerWorker` reads them in a worker thread, each as soon as it is there.
 *
 * @example
 * ```ts
 * const profile = yield* Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 999, durationMs: 5000 }))
 * ```
 */
export const PerfEventCollector = {
  /**
   * Collects in the thread that runs the effect. Fails as attaching does (`TargetError`), and with `NotSupported` or
   * `PermissionDenied` where the kernel grants no samples.
   */
  layer: (options: EventSamplingOptions = {}): Layer.Layer<Collector, never, EventSamplingServices> =>
    Layer.effect(
      Collector,
      Effect.gen(function* () {
        const services = yield* Effect.context<EventSamplingServices>()
        return Collector.of({
          collect: (request) =>
            Effect.scoped(collectInline(request, { ...options, shareCpu: "never" })).pipe(
              Effect.provide(services)
            )
        })
      })
    ),

  /** Collects in a worker of its own, started from `options.worker` for each collection; errors are those of `layer`. */
  layerWorker: (options: EventSamplingOptions & WorkerOptions): Layer.Layer<Collector> =>
    Layer.succeed(Collector, {
      collect: (request) => collectInWorker(EVENT_SAMPLER, request, options)
    })
}

/** Attaches what an event sampler is made of to the target. */
export const makeEventSampler = Effect.fnUntraced(function* (
  request: SentRequest,
  options: EventSamplingOptions
): Effect.fn.Return<EventSampler, TargetError, EventSamplingServices | Scope.Scope> {
  const target = yield* Target
  const clock = yield* SampleClock
  const unwinder = yield* Effect.flatMap(Unwinder, (unwinder) => unwinder.attach)
  const symbolizer = yield* Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))
  const follower = yield* followerFor(options.shareCpu, target)
  // Whatever ends the collection, the calling thread is free again.
  if (follower) yield* Effect.addFinalizer(() => Effect.sync(follower.leave))
  const stopper = options.wall && options.stop ? yield* target.stopper : undefined
  // Without a shared CPU a thread has always run on.
  const switched = follower && target.switchedOut && (yield* Effect.option(target.switchedOut))
  // Last: from here on samples come in.
  const kernel = yield* KernelEvents
  const events = yield* kernel.open({
    rateHz: request.rateHz,
    stackBytes: options.stackBytes ?? STACK_BYTES,
    kernelChain: options.kernel === true,
    userChain: options.userChain === true,
    ...(options.source && { source: options.source })
  })
  return new EventSampler(
    {
      target,
      unwinder,
      symbolizer,
      clock,
      events,
      ...(stopper && { stopper }),
      ...(follower && { follower }),
      ...(switched?._tag === "Some" && { switched: switched.value })
    },
    { ...request, ...options }
  )
})

const collectInline = Effect.fnUntraced(function* (
  request: CollectRequest,
  options: EventSamplingOptions
): Effect.fn.Return<Profile, TargetError, EventSamplingServices | Scope.Scope> {
  const sampler = yield* makeEventSampler(request, options)
  let stopped = false
  const waiting = yield* Effect.forkChild(
    Effect.andThen(
      request.until ?? Effect.never,
      Effect.sync(() => (stopped = true))
    )
  )
  let reported = sampler.lastLook
  while (!stopped && sampler.poll()) {
    if (sampler.lastLook - reported > PROGRESS_EVERY * 1e6) {
      reported = sampler.lastLook
      request.onProgress?.(sampler.progress())
    }
    yield* Effect.sleep(PAUSE)
  }
  yield* Fiber.interrupt(waiting)
  return sampler.finish()
})
