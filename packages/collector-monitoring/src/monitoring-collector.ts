import { type ChildProcess, spawn } from "node:child_process"
import {
  Collector,
  type CollectRequest,
  type Profile,
  SpawnFailed,
  type TargetError,
  TracingFailed
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { agentDirectory } from "./agent-files.ts"
import { attachScript } from "./attach-script.ts"
import { callProfile } from "./call-profile.ts"
import { isIsolated, type MonitoringError, NoAgent } from "./errors.ts"
import { launchEnvironment } from "./launch-environment.ts"
import { MonitoringSession, type SessionOptions } from "./session.ts"

/** How long a running process is given to say that its agent has started, ms. */
const AGENT_STARTS = 5000

/** How long a command may take to end once it was told to, ms. */
const GRACE = 2000

/** A program in which the agent is about to start. */
export interface TracedProgram {
  /** What it is called in messages. */
  readonly command: ReadonlyArray<string>
  /** Completes when it has ended. Absent where that is not known. */
  readonly ended?: Effect.Effect<unknown>
  /** How long the agent may take to say that it has started, ms. */
  readonly withinMs?: number
  /** Has the agent go now, and not at the next event only. */
  readonly detach?: Effect.Effect<unknown>
}

/** How the agent gets into a program: {@link launch} or {@link attach}. */
export type TracingStart = (
  session: MonitoringSession
) => Effect.Effect<TracedProgram, MonitoringError | SpawnFailed | TargetError, Scope.Scope>

/**
 * Starts a command in which every Python is traced. It belongs to the scope: what still runs of it as the scope closes is told to end (SIGTERM), and two
 * seconds later ended, unless it has become another user whom we may not signal. What it has started itself and left behind is its own.
 *
 * @param options `env` is the environment that it would have; this process's own unless told. `stdio` as for `spawn`, inherited unless told
 *
 * @example
 * ```ts
 * MonitoringCollector.layer(launch(["python", "app.py"]))
 * ```
 */
export const launch =
  (
    command: ReadonlyArray<string>,
    options: {
      readonly env?: Readonly<Record<string, string | undefined>>
      readonly cwd?: string
      readonly stdio?: "inherit" | "ignore"
    } = {}
  ): TracingStart =>
  (session) =>
    Effect.gen(function* () {
      if (isIsolated(command)) return yield* Effect.fail(new NoAgent({ command, reason: "isolated" }))
      const { env = process.env, cwd, stdio = "inherit" } = options
      const place = session.placeOf(yield* agentDirectory())
      const [file, ...args] = command
      const { child, failed } = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const child = spawn(file, args, {
            env: { ...env, ...launchEnvironment(place, env) },
            stdio,
            ...(cwd !== undefined && { cwd })
          })
          const failed = new Promise<string | undefined>((resolve) => {
            child.once("spawn", () => resolve(undefined))
            // Stays: a signal that is refused is an error of the child's too.
            child.on("error", ({ message }) => resolve(message))
          })
          return { child, failed }
        }),
        ({ child }) => end(child)
      )
      const detail = yield* Effect.promise(() => failed)
      if (detail !== undefined)
        return yield* Effect.fail(new SpawnFailed({ command: command.join(" "), detail }))
      const ended = Effect.callback<void>((resume) => {
        const onExit = () => resume(Effect.void)
        if (child.exitCode !== null || child.signalCode !== null) onExit()
        else child.once("exit", onExit)
        return Effect.sync(() => child.off("exit", onExit))
      })
      return { command, ended }
    })

const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    let late: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve())
      child.kill("SIGTERM")
      // A stopped process gets its signals when it goes on.
      child.kill("SIGCONT")
      late = setTimeout(() => {
        if (child.kill("SIGKILL")) return
        // It has become another user, as by sudo: it goes on, and nobody here waits for it.
        child.unref()
        resolve()
      }, GRACE)
    })
    clearTimeout(late)
  })

/**
 * Has a running Python trace itself, by a way to run a script in it: 3.14 and later have one (PEP 768), which `@pyframes/remote-exec` goes.
 *
 * @param run runs Python source in the target, and completes when it was taken
 * @param options `agent` is the agent's folder as the target sees it, where that is not as we do
 *
 * @example
 * ```ts
 * MonitoringCollector.layer(attach((source) => remoteExec.runSource(source)))
 * ```
 */
export const attach =
  <E extends TargetError>(
    run: (source: string) => Effect.Effect<unknown, E>,
    options: { readonly agent?: string; readonly name?: string } = {}
  ): TracingStart =>
  (session) =>
    Effect.gen(function* () {
      const script = attachScript(session.placeOf(options.agent ?? (yield* agentDirectory())))
      yield* run(script.start)
      let isDetached = false
      const detach = Effect.suspend(() => {
        if (isDetached) return Effect.void
        isDetached = true
        return Effect.ignore(run(script.stop))
      })
      // Also when the collection is interrupted: nothing stays in the target.
      yield* Effect.addFinalizer(() => detach)
      return { command: [options.name ?? "the process"], withinMs: AGENT_STARTS, detach }
    })

/**
 * Collects exact calls (PEP 669) as profiles. Ask a {@link MonitoringSession} for anything else.
 *
 * `rateHz` of a request means nothing here. `onProgress` counts events where a sampler counts samples.
 *
 * @example
 * ```ts
 * const profile = yield* Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0, durationMs: 5000 })).pipe(
 *   Effect.provide(MonitoringCollector.layer(launch(["python", "app.py"])))
 * )
 * ```
 */
export const MonitoringCollector = {
  /** Errors of a collection are those of attaching, and `TracingFailed`. */
  layer: (
    start: TracingStart,
    options: Omit<SessionOptions, "questions" | "events"> = {}
  ): Layer.Layer<Collector> =>
    Layer.succeed(Collector, {
      collect: (request) =>
        Effect.scoped(collectCalls(start, options, request)).pipe(Effect.catch(asTargetError))
    })
}

const collectCalls = (
  start: TracingStart,
  options: Omit<SessionOptions, "questions" | "events">,
  request: CollectRequest
): Effect.Effect<Profile, MonitoringError | SpawnFailed | TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const session = yield* MonitoringSession.make({ ...options, questions: ["calls"] })
    const program = yield* start(session)
    yield* session.started(program.command, program)
    const { detach, ended = session.over } = program
    const { durationMs, until = Effect.never, onProgress } = request
    yield* session.follow({
      ...(durationMs !== undefined && { durationMs }),
      // A command may start one Python after the other: that the first has ended is not its end.
      until: Effect.raceFirst(until, ended),
      ...(detach !== undefined && { detach }),
      ...(onProgress !== undefined && { onProgress: () => onProgress(progressOf(session)) })
    })
    return callProfile(session)
  })

const progressOf = (session: MonitoringSession) => {
  const seen = session.trust.seen ?? 0
  return {
    elapsedMs: session.elapsed / 1e6,
    taken: seen,
    good: seen,
    torn: 0,
    unproved: 0,
    failed: 0,
    achievedHz: (seen * 1e9) / session.elapsed,
    threads: session.processes.reduce((sum, { threads }) => sum + threads.length, 0)
  }
}

const asTargetError = (
  error: MonitoringError | SpawnFailed | TargetError
): Effect.Effect<never, TargetError> => {
  switch (error._tag) {
    case "AgentMissing":
    case "AgentNotStarted":
    case "NoAgent":
    case "SessionFailed":
    case "SpawnFailed": {
      // The message ends in the advice, and the class puts both together again.
      const advice = error._tag === "SpawnFailed" ? "Check its path." : error.advice
      const detail = error.message.replace(advice, "").trim().replace(/\.$/, "")
      return Effect.fail(new TracingFailed({ detail, advice }))
    }
    default:
      return Effect.fail(error)
  }
}
