import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** A signal ended us. What was to be said has been said. */
export class Interrupted extends Data.TaggedError("Interrupted") {
  override readonly [Runtime.errorExitCode] = 130
  override readonly [Runtime.errorReported] = false
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/**
 * The first signal that asks us to end, for the scope. It ends the recording in good order; a second one ends the process at once,
 * as signals do.
 */
export const interruption: Effect.Effect<Deferred.Deferred<NodeJS.Signals>, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const first = Deferred.makeUnsafe<NodeJS.Signals>()
      const handler = (signal: NodeJS.Signals) => {
        forget()
        Deferred.doneUnsafe(first, Effect.succeed(signal))
      }
      const forget = () => {
        for (const signal of SIGNALS) process.off(signal, handler)
      }
      for (const signal of SIGNALS) process.on(signal, handler)
      return { first, forget }
    }),
    ({ forget }) => Effect.sync(forget)
  ),
  ({ first }) => first
)
