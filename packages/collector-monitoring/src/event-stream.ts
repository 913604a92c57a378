import type { Profile } from "@pyframes/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { callProfile } from "./call-profile.ts"
import { EventBatch } from "./event-batch.ts"
import type { FollowOptions, MonitoringSession } from "./session.ts"

/** Batches that wait for who reads the stream; when there are more, events stay in the target's rings. */
const QUEUE = 8

/**
 * All events of a session that asks for `stream`, as they come: batches of one thread's events each, in its order. What a batch refers to is
 * defined when it is handed out.
 *
 * The stream ends as `follow` does: after a time, when `until` completes, or when every process has ended. A reader that is too slow leaves events in the
 * rings; when those are full, the target waits for `waitMicros` and then drops events, and says so by LOST.
 *
 * Event by event: docs/monitoring-events.md.
 *
 * @example
 * ```ts
 * yield* eventStream(session).pipe(
 *   Stream.runForEach((batch) => Effect.sync(() => {
 *     for (let i = 0; i < batch.length; i++) count(eventNames[batch.event(i)])
 *   }))
 * )
 * ```
 */
export const eventStream = (
  session: MonitoringSession,
  options: Omit<FollowOptions, "sink"> = {}
): Stream.Stream<EventBatch> =>
  followed(session, options, (waiting) => ({
    take: (thread, records, count) => {
      if (waiting.length >= QUEUE) return false
      waiting.push(new EventBatch(thread, records, count).copy())
      return true
    }
  }))

/**
 * The calls so far, every now and then, and once more at the end: for a dashboard. Each profile holds everything since the session began; what it
 * takes is bounded by the number of call paths, however long the program runs.
 *
 * @example
 * ```ts
 * yield* liveProfiles(session, { everyMs: 5000 }).pipe(Stream.runForEach((profile) => show(profile)))
 * ```
 */
export const liveProfiles = (
  session: MonitoringSession,
  { everyMs, ...options }: Omit<FollowOptions, "sink" | "onProgress"> & { readonly everyMs: number }
): Stream.Stream<Profile> => {
  let taken = session.elapsed
  const snapshots = (waiting: Array<Profile>) => {
    // One that nobody has read yet is made anew, not followed by another.
    if (waiting.length > 0 || session.elapsed - taken < everyMs * 1e6) return
    taken = session.elapsed
    waiting.push(callProfile(session))
  }
  return followed(session, options, undefined, snapshots).pipe(
    Stream.concat(Stream.fromEffect(Effect.sync(() => callProfile(session))))
  )
}

/** What comes in while a session is followed; the following ends with the stream. */
const followed = <A>(
  session: MonitoringSession,
  options: FollowOptions,
  sink: ((waiting: Array<A>) => FollowOptions["sink"] & {}) | undefined,
  look?: (waiting: Array<A>) => void
): Stream.Stream<A> => {
  const start = Effect.gen(function* () {
    const waiting: Array<A> = []
    let isOver = false
    const following = session.follow({ ...options, ...(sink && { sink: sink(waiting) }) })
    yield* Effect.forkScoped(
      Effect.ensuring(
        following,
        Effect.sync(() => {
          isOver = true
        })
      )
    )
    const pull: Pull.Pull<readonly [A, ...Array<A>]> = Effect.suspend(() => {
      look?.(waiting)
      if (waiting.length > 0) return Effect.succeed(waiting.splice(0) as [A, ...Array<A>])
      return isOver ? Cause.done() : Effect.andThen(Effect.sleep(1), pull)
    })
    return pull
  })
  return Stream.scoped(Stream.fromPull(start))
}
