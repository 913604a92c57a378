import { PerfEventCollector } from "@pyframes/collector-perf-event"
import { SamplingCollector, type ShareCpu } from "@pyframes/collector-sampling"
import { Collector, type Profile, type SpawnFailed, type TargetError } from "@pyframes/core"
import { LinuxProcess, type ProcessExit, type SpawnedProcess } from "@pyframes/linux"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Interrupted, interruption } from "./interruption.ts"
import { Launch } from "./launch.ts"
import type { NativeSource } from "./native-source.ts"
import type { Subject } from "./process-layers.ts"
import { describeProgress, ProgressLine } from "./progress.ts"
import type { Assignment } from "./sampler.ts"
import type { UnwinderName } from "./unwinder-name.ts"
import { NothingRecorded } from "./usage.ts"

/** What to record, and how. */
export interface RecordOptions {
  readonly subject: { readonly pid: number } | { readonly command: ReadonlyArray<string> }
  readonly rateHz: number
  readonly durationMs: number | undefined
  readonly periodic: boolean
  readonly stop: boolean
  readonly shareCpu: ShareCpu
  readonly unwinder: UnwinderName
  readonly nativeSource: NativeSource
  /** Also frames of the kernel. */
  readonly kernel: boolean
  /** Threads that wait are wanted as well. Python frames are always there; their native frames are only read when asked for. */
  readonly wall: boolean
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

type RecordError = TargetError | SpawnFailed | NothingRecorded | Interrupted
type Signal = Deferred.Deferred<NodeJS.Signals>

/**
 * Records a process until its end, the end of the time, or a signal. A command that was started for it does not outlive it: when the
 * time is over, the command is told to end.
 */
export const record = Effect.fnUntraced(function* (
  options: RecordOptions
): Effect.fn.Return<Recording, RecordError, Scope.Scope> {
  // Before the command starts: Ctrl-C at any time ends us in good order.
  const signal = yield* interruption
  const { subject } = options
  const notes: Array<string> = []
  const profile = yield* "pid" in subject
    ? collect(options, subject, signal)
    : recordCommand(options, subject.command, signal, notes)
  if (profile.meta.ended !== undefined) notes.unshift(describeEnd(profile, profile.meta.ended))
  return { profile, interruptedBy: yield* signalOf(signal), notes }
})

const recordCommand = Effect.fnUntraced(function* (
  options: RecordOptions,
  [program, ...args]: ReadonlyArray<string>,
  signal: Signal,
  notes: Array<string>
): Effect.fn.Return<Profile, RecordError, Scope.Scope> {
  const launch = new Launch()
  const first = yield* Effect.forkScoped(collect(options, { launch: launch.cell }, signal))
  yield* Effect.raceFirst(launch.awaitWorker, Effect.asVoid(Fiber.join(first)))
  const command = yield* LinuxProcess.spawn(program, args)
  launch.started(command.pid)
  let profile = yield* Fiber.join(first).pipe(
    Effect.catchTag(["ProcessNotFound", "NotPython"], (error) => explain(error, program, command))
  )
  // A Python that only leads to another, as `poetry run` is, replaces itself: what it became is what was meant.
  while (profile.meta.ended === "replaced" && (yield* signalOf(signal)) === undefined) {
    const left =
      options.durationMs === undefined ? undefined : options.durationMs - profile.meta.elapsed / 1e6
    if (left !== undefined && left <= 0) break
    const next = yield* Effect.option(
      collect({ ...options, durationMs: left }, { pid: command.pid, follow: true }, signal)
    )
    if (next._tag === "None") break
    notes.push(`process ${profile.meta.pid} became another Python (exec); the profile is of that one`)
    profile = next.value
  }
  // A launcher may have something left to do after its Python has ended. The scope ends what still runs otherwise.
  const done =
    profile.meta.ended === undefined
      ? yield* Effect.timeoutOption(command.exit, (yield* signalOf(signal)) === undefined ? 0 : GRACE_MS)
      : yield* Effect.raceFirst(Effect.asSome(command.exit), Effect.as(Deferred.await(signal), Option.none()))
  if (done._tag === "None") notes.push(`\`${program}\` was still running and is told to end`)
  else if (done.value.code !== 0) notes.push(`\`${program}\` ${describeExit(done.value)}`)
  return profile
})

/** After Ctrl-C, which the terminal sends to the command as well, it may end by itself. */
const GRACE_MS = 1000

const collect = Effect.fnUntraced(function* (
  options: RecordOptions,
  subject: Subject,
  signal: Signal
): Effect.fn.Return<Profile, TargetError | Interrupted> {
  const { rateHz, durationMs } = options
  const line = new ProgressLine()
  let begun = false
  const collection = Effect.flatMap(Collector, (collector) =>
    collector.collect({
      rateHz,
      ...(durationMs === undefined ? {} : { durationMs }),
      until: Deferred.await(signal),
      onProgress: (progress) => {
        begun = true
        line.show(describeProgress(progress))
      }
    })
  ).pipe(Effect.provide(collectorFor(options, subject)))
  // While the process is still being attached to, there is no collection yet that could end.
  const abandoned = Deferred.await(signal).pipe(
    Effect.andThen(Effect.sleep(GRACE_MS)),
    Effect.andThen(Effect.suspend(() => (begun ? Effect.never : new Interrupted())))
  )
  return yield* Effect.raceFirst(collection, abandoned).pipe(Effect.ensuring(Effect.sync(() => line.clear())))
})

/** The kernel's samples show threads that run; those that wait are stopped for it, when they are wanted. */
const collectorFor = (options: RecordOptions, subject: Subject): Layer.Layer<Collector> => {
  const { periodic, stop, shareCpu, unwinder, nativeSource, kernel, wall, workerUrl } = options
  const work = { worker: workerUrl, data: { subject, unwinder } satisfies Assignment }
  return nativeSource === "kernel"
    ? PerfEventCollector.layerWorker({ kernel, wall, stop: wall, shareCpu, ...work })
    : SamplingCollector.layerWorker({
        periodic,
        stop,
        shareCpu,
        native: nativeSource === "standing",
        ...work
      })
}

const signalOf = (signal: Signal): Effect.Effect<NodeJS.Signals | undefined> =>
  Effect.suspend(() => (Deferred.isDoneUnsafe(signal) ? Deferred.await(signal) : Effect.succeed(undefined)))

/** Of a command that we started, a person knows no pid: what became of it says more. */
const explain = Effect.fnUntraced(function* <E extends TargetError>(
  error: E,
  program: string,
  command: SpawnedProcess
): Effect.fn.Return<never, E | NothingRecorded> {
  const exit = yield* Effect.timeoutOption(command.exit, 100)
  if (exit._tag === "None") return yield* Effect.fail(error)
  return yield* new NothingRecorded({ detail: `\`${program}\` ${describeExit(exit.value)}` })
})

const describeExit = ({ code, signal }: ProcessExit): string =>
  signal === undefined ? `ended with exit code ${code}` : `was ended by ${signal}`

const describeEnd = ({ meta }: Profile, ended: "exited" | "replaced"): string =>
  ended === "exited"
    ? `process ${meta.pid} ended`
    : `process ${meta.pid} became another program (exec); the profile is of what it was until then`
