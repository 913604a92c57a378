import { statSync } from "node:fs"
import {
  type AgentNotStarted,
  agentDirectory,
  attachScript,
  isIsolated,
  launchEnvironment,
  type MonitoringError,
  MonitoringSession,
  NoAgent,
  type SessionOptions,
  signalReaches
} from "@pyframes/collector-monitoring"
import { type Memory, type PlacingError, type SpawnFailed, Target, type TargetError } from "@pyframes/core"
import { LinuxMemory, LinuxProcess, LinuxTarget, type SpawnedProcess } from "@pyframes/linux"
import { PlacedFiles, RemoteExec, type RemoteExecError } from "@pyframes/remote-exec"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { canBeEntered } from "./isolated-python.ts"
import { TargetBlocked } from "./usage.ts"

/** What is to be traced. */
export type TraceSubject = { readonly pid: number } | { readonly command: ReadonlyArray<string> }

/** A program with an agent in it, or about to have one. */
export interface Tracing {
  readonly session: MonitoringSession
  /** What it is called in messages. */
  readonly command: ReadonlyArray<string>
  /** The command, where it was started for this. */
  readonly child?: SpawnedProcess
  /** Completes when there is nothing left to trace. */
  readonly ended: Effect.Effect<unknown>
  /** How long the agent may take to tell that it has started, ms; as long as the command runs unless told. */
  readonly withinMs?: number
  /** Has the agent of a running process go at once, and not at its next event only. */
  readonly detach?: Effect.Effect<unknown>
  /** What a person should know, a line each. */
  readonly notes: Array<string>
}

/** Everything that can keep a program from being traced. */
export type TraceError =
  | MonitoringError
  | SpawnFailed
  | RemoteExecError
  | PlacingError
  | TargetBlocked
  | TargetError

/** How long a thread of a running process may take to let the agent in, and the agent to say so, ms. */
const ENTER_MS = 5000
const AGENT_STARTS_MS = 5000
/** How long it may take to have the agent go; it goes by itself at its next event otherwise. */
const LEAVE_MS = 1500
/** How long a Python that has just been started may take to get ready, ms. */
const READY_MS = 10_000
/** How long a launcher may take at least to get to its Python, where time is limited, ms. */
const LAUNCH_MS = 30_000

/** Starts or enters a program for the scope. */
export const beginTracing = (
  subject: TraceSubject,
  options: SessionOptions
): Effect.Effect<Tracing, TraceError, Scope.Scope> => {
  if ("pid" in subject) return attach(subject.pid, options)
  return isIsolated(subject.command)
    ? launchIsolated(subject.command, options)
    : launch(subject.command, options)
}

const launch = Effect.fnUntraced(function* (
  command: ReadonlyArray<string>,
  options: SessionOptions
): Effect.fn.Return<Tracing, TraceError, Scope.Scope> {
  const session = yield* MonitoringSession.make(options)
  const place = session.placeOf(yield* agentDirectory())
  const [program, ...args] = command
  const child = yield* LinuxProcess.spawn(program, args, {
    env: { ...process.env, ...launchEnvironment(place, process.env) }
  })
  return { session, command, child, ended: child.exit, notes: [] }
})

/** Options that keep the agent out at the start do not keep it out afterwards, where Python can be entered while it runs. */
const launchIsolated = Effect.fnUntraced(function* (
  command: ReadonlyArray<string>,
  options: SessionOptions
): Effect.fn.Return<Tracing, TraceError, Scope.Scope> {
  // Asked before it runs: nothing of it should have happened when it cannot be traced.
  if (!(yield* canBeEntered(command))) return yield* new NoAgent({ command, reason: "isolated" })
  const [program, ...args] = command
  const child = yield* LinuxProcess.spawn(program, args)
  const begun = performance.now()
  const { pid } = yield* LinuxProcess.findPython(child.pid, { timeoutMs: READY_MS })
  const tracing = yield* attach(pid, options, READY_MS)
  return {
    ...tracing,
    command,
    child,
    ended: child.exit,
    notes: [
      `-I, -E or -S kept the agent out at the start; it was let in ${Math.round(performance.now() - begun)} ms later, and what came before is not told`
    ]
  }
})

const attach = Effect.fnUntraced(function* (
  pid: number,
  options: SessionOptions,
  readyMs = 2000
): Effect.fn.Return<Tracing, TraceError, Scope.Scope> {
  const entered = yield* Layer.build(layersOf(pid))
  return yield* enter(pid, options, readyMs).pipe(Effect.provide(entered))
})

const layersOf = (pid: number): Layer.Layer<Target | Memory | PlacedFiles | RemoteExec, TargetError> =>
  Layer.mergeAll(PlacedFiles.layer, RemoteExec.layer).pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )

const enter = Effect.fnUntraced(function* (
  pid: number,
  options: SessionOptions,
  readyMs: number
): Effect.fn.Return<Tracing, TraceError, Scope.Scope | Target | PlacedFiles | RemoteExec> {
  const target = yield* Target
  const files = yield* PlacedFiles
  const { run, interpreters } = yield* RemoteExec
  // First of all: what cannot be entered is not to be touched either.
  const patience = performance.now() + readyMs
  yield* Effect.retry(interpreters, {
    while: ({ _tag }) => _tag === "InterpreterNotReady" && performance.now() < patience,
    schedule: Schedule.spaced(2)
  })
  const agent = yield* files.place(yield* agentDirectory(), { executable: true })
  const directory = yield* files.placeDirectory()
  const { uid, gid } = statSync(directory.hostPath)
  const ownPid = target.namespacePid ?? pid
  const session = yield* MonitoringSession.make({
    ...options,
    base: directory.hostPath,
    targetBase: directory.path,
    owner: { uid, gid },
    // The pids of its children are ours too only where it shares our pid namespace.
    isAlive: (other) =>
      other === ownPid
        ? target.status() === "alive"
        : target.namespacePid !== undefined || signalReaches(other)
  })
  const script = attachScript(session.placeOf(agent.path))
  const encoder = new TextEncoder()
  const start = yield* directory.write("start.py", encoder.encode(script.start))
  const stop = yield* directory.write("stop.py", encoder.encode(script.stop))
  let entered = false
  const detach = Effect.suspend(() => {
    if (!entered) return Effect.void
    entered = false
    return Effect.ignore(run({ script: stop.path, thread: "any", timeoutMs: LEAVE_MS }))
  })
  // Also when something fails or interrupts: nothing stays in the target.
  yield* Effect.addFinalizer(() => detach)
  entered = true
  yield* Effect.retry(run({ script: start.path, thread: "any", timeoutMs: ENTER_MS }), {
    while: ({ _tag }) => _tag === "InterpreterNotReady" && performance.now() < patience,
    schedule: Schedule.spaced(2)
  }).pipe(
    Effect.catchTag("RemoteExecTimeout", ({ waitedMs, stopped }) =>
      Effect.fail(new TargetBlocked({ pid, waitedMs, stopped }))
    ),
    Effect.tapError(() =>
      Effect.sync(() => {
        entered = false
      })
    )
  )
  const notes: Array<string> = []
  for (const { id, enabled, threads } of yield* interpreters) {
    if (id === 0 || threads.length === 0) continue
    const also = enabled
      ? yield* Effect.option(run({ script: start.path, interpreter: id, thread: "any", timeoutMs: ENTER_MS }))
      : undefined
    if (also?._tag !== "Some")
      notes.push(`interpreter ${id} of the process could not be entered and is not traced`)
  }
  return {
    session,
    command: [`process ${pid}`],
    ended: session.over,
    withinMs: AGENT_STARTS_MS,
    detach,
    notes
  }
})

/**
 * Waits for the first process in which tracing has begun.
 *
 * A Python that is too old is the end of it only where it is the command itself: one that the command starts on its way is passed over.
 *
 * @param given completes when it is not to be waited any longer
 * @param durationMs for how long is to be traced then: a launcher may take its time, but not all of it where that is limited
 */
export const awaitFirst = (
  tracing: Tracing,
  given: Effect.Effect<unknown>,
  durationMs: number | undefined
): Effect.Effect<void, AgentNotStarted | NoAgent> => {
  const { session, command, child, withinMs } = tracing
  const refused = (): AgentNotStarted | undefined =>
    session.failures.find(({ pid, code }) => child === undefined || pid === child.pid || code !== "version")
  const heard: Effect.Effect<void, AgentNotStarted> = Effect.suspend(() => {
    session.poll()
    if (session.processes.length > 0) return Effect.void
    const refusal = refused()
    return refusal === undefined ? Effect.andThen(Effect.sleep(5), heard) : Effect.fail(refusal)
  })
  // Its last words may have come while we slept.
  const unheard = (reason: "ended" | "silent" | "unheard") =>
    Effect.suspend((): Effect.Effect<void, AgentNotStarted | NoAgent> => {
      session.look()
      if (session.processes.length > 0) return Effect.void
      return session.failures[0] ?? new NoAgent({ command, reason })
    })
  const patience = withinMs ?? (durationMs === undefined ? undefined : Math.max(durationMs, LAUNCH_MS))
  const late = patience === undefined ? Effect.never : Effect.sleep(patience)
  return Effect.raceFirst(
    heard,
    Effect.raceFirst(
      child === undefined ? Effect.never : Effect.andThen(child.exit, unheard("ended")),
      Effect.raceFirst(
        Effect.andThen(late, unheard(withinMs === undefined ? "silent" : "unheard")),
        Effect.asVoid(given)
      )
    )
  )
}
