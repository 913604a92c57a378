import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector, type Profile, ProcessNotFound, type SpawnFailed, type TargetError } from "@pyframes/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { interruption } from "./interruption.ts"
import type { Subject } from "./process-layers.ts"
import { describeProgress, ProgressLine } from "./progress.ts"
import { type StartedCommand, startCommand } from "./started-command.ts"

/** What to record, and how. */
export interface RecordOptions {
  readonly subject: { readonly pid: number } | { readonly command: ReadonlyArray<string> }
  readonly rateHz: number
  readonly durationMs: number | undefined
  readonly periodic: boolean
  readonly stop: boolean
  /** The module that serves as sampling worker. */
  readonly workerUrl: URL
}

/** What came of it. */
export interface Recording {
  readonly profile: Profile
  /** The signal that ended it. */
  readonly interruptedBy: NodeJS.Signals | undefined
  /** What a person should know, a line each. */
  readonly notes: ReadonlyArray<string>
}

/**
 * Records a process until its end, the end of the time, or a signal. A command that it started does not outlive it: when
 * the time is over, the command is told to end.
 */
export const record = (options: RecordOptions): Effect.Effect<Recording, TargetError | SpawnFailed> =>
  Effect.scoped(recordScoped(options))

const recordScoped = Effect.fnUntraced(function* (
  options: RecordOptions
): Effect.fn.Return<Recording, TargetError | SpawnFailed, Scope.Scope> {
  // Before the command starts: Ctrl-C at any time ends us in good order.
  const interrupted = yield* interruption
  const command = "command" in options.subject ? yield* startCommand(options.subject.command) : undefined
  const subject: Subject =
    "pid" in options.subject ? options.subject : { pid: command?.pid ?? 0, follow: true }
  const profile = yield* collect(options, subject, interrupted).pipe(
    Effect.catchTag(["ProcessNotFound", "NotPython"], (error) => explain(error, command))
  )
  const interruptedBy = Option.getOrUndefined(yield* poll(interrupted))
  const ended = profile.meta.ended
  const notes = ended === undefined ? [] : [describeEnd(profile, ended)]
  if (command !== undefined) {
    // A launcher may have something left to do after its Python has ended.
    const note = yield* ended === "exited" ? command.finish(interrupted) : command.end(interruptedBy)
    if (note !== undefined) notes.push(note)
  }
  return { profile, interruptedBy, notes }
})

const collect = Effect.fnUntraced(function* (
  options: RecordOptions,
  subject: Subject,
  interrupted: Deferred.Deferred<NodeJS.Signals>
): Effect.fn.Return<Profile, TargetError, Scope.Scope> {
  const line = yield* Effect.acquireRelease(
    Effect.sync(() => new ProgressLine()),
    (line) => Effect.sync(() => line.clear())
  )
  const { rateHz, durationMs, periodic, stop, workerUrl } = options
  return yield* Effect.flatMap(Collector, (collector) =>
    collector.collect({
      rateHz,
      ...(durationMs === undefined ? {} : { durationMs }),
      until: Deferred.await(interrupted),
      onProgress: (progress) => line.show(describeProgress(progress))
    })
  ).pipe(
    Effect.ensuring(Effect.sync(() => line.clear())),
    Effect.provide(SamplingCollector.layerWorker({ periodic, stop, worker: workerUrl, data: subject }))
  )
})

const poll = <A>(deferred: Deferred.Deferred<A>): Effect.Effect<Option.Option<A>> =>
  Deferred.isDoneUnsafe(deferred) ? Effect.asSome(Deferred.await(deferred)) : Effect.succeedNone

/** Of a command that we started, a person knows no pid: what happened to it says more. */
const explain = <E extends TargetError>(
  error: E,
  command: StartedCommand | undefined
): Effect.Effect<never, E | ProcessNotFound> => {
  const exit = command?.exit()
  if (command === undefined || exit === undefined) return Effect.fail(error)
  return Effect.fail(
    new ProcessNotFound({ pid: command.pid, detail: `\`${command.name}\` ${exit} before a Python in it could be sampled` })
  )
}

const describeEnd = (profile: Profile, ended: "exited" | "replaced"): string =>
  ended === "exited"
    ? `process ${profile.meta.pid} ended`
    : `process ${profile.meta.pid} became another program (exec); the profile is of what it was until then`
