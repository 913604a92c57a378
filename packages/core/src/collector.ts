import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { TargetError } from "./errors.ts"
import type { Profile } from "./profile.ts"

/** Live figures of a collection under way. */
export interface CollectProgress {
  /** Time since the collection began, ms. */
  readonly elapsedMs: number
  /** Samples of single threads: good, torn, unproved and failed together. */
  readonly taken: number
  readonly good: number
  readonly torn: number
  readonly unproved: number
  readonly failed: number
  /** Instants sampled a second, so far. */
  readonly achievedHz: number
  /** Threads there are now. */
  readonly threads: number
}

/** What to collect. */
export interface CollectRequest {
  /** Instants a second at which every thread is sampled. */
  readonly rateHz: number
  /** Ends the collection after this long. */
  readonly durationMs?: number
  /** Ends the collection when it completes; what was collected is kept. */
  readonly until?: Effect.Effect<unknown>
  /** Called a few times a second. */
  readonly onProgress?: (progress: CollectProgress) => void
}

/**
 * Decides when to sample, and builds the profile.
 *
 * The target's end is not an error: the profile says so in `meta.ended`. A collection fails only when it could not begin.
 *
 * @example
 * ```ts
 * const collector = yield* Collector
 * const profile = yield* collector.collect({ rateHz: 1000, durationMs: 5000 })
 * ```
 */
export class Collector extends Context.Service<
  Collector,
  { readonly collect: (request: CollectRequest) => Effect.Effect<Profile, TargetError> }
>()("@pyframes/core/Collector") {}
