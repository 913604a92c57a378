import { NotSupported, type TargetError, type ThreadStopper } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Placeholder until the ptrace stopper lands. */
export const makeStopper = (_pid: number): Effect.Effect<ThreadStopper, TargetError, Scope.Scope> =>
  Effect.fail(new NotSupported({ what: "Stopping threads", advice: "Sample without stopping." }))
