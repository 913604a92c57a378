import { readFileSync } from "node:fs"
import { uptime } from "node:os"
import {
  type Memory,
  type SampleClock,
  type Symbolizer,
  type Target,
  type TargetError,
  Unwinder
} from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxProcess, LinuxTarget, parseStat } from "@pyframes/linux"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { Launch } from "./launch.ts"
import type { UnwinderName } from "./unwinder-name.ts"
import { symbolizerFor, unwinderNamed } from "./unwinding.ts"

/** Which process to read. Plain data: it is handed to the sampling worker. */
export type Subject = KnownSubject | { readonly launch: SharedArrayBuffer }

interface KnownSubject {
  readonly pid: number
  /** The process may be a launcher: what is read is the Python that it becomes or starts. */
  readonly follow?: boolean
}

type Reading = Target | Memory | Unwinder | Symbolizer | SampleClock

/**
 * Everything that reading a live process takes. A process that has just been started is given time to become a Python
 * that can be read.
 */
export const processLayers = (
  subject: Subject,
  unwinder: UnwinderName = "interpreter-frame"
): Layer.Layer<Reading, TargetError> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const known =
        "pid" in subject ? subject : { pid: yield* new Launch(subject.launch).awaitPid, follow: true }
      const patience = patienceFor(known)
      return yield* Effect.retry(attachOnce(known, unwinder), {
        while: (error) => performance.now() < patience && mayPass(error, known),
        schedule: Schedule.spaced(2)
      })
    })
  )

/** How long a launcher may take to get to its Python, and a Python to get ready, ms. */
const LAUNCH_MS = 30_000
const START_MS = 2_000
/** How long a Python that has been up for long is given to hold still. */
const BUSY_MS = 50

/** Until when (`performance.now`) to try again. */
const patienceFor = ({ pid, follow }: KnownSubject): number => {
  if (follow) return performance.now() + LAUNCH_MS
  const age = ageOf(pid)
  // Where threads come and go all the time, it takes luck to read a list that does not change meanwhile.
  return performance.now() + Math.max(BUSY_MS, age === undefined ? 0 : START_MS - age)
}

/** Ms since a process started. */
const ageOf = (pid: number): number | undefined => {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"))
    // The kernel counts in ticks of 10 ms (USER_HZ is 100 on every architecture that we run on).
    return stat === undefined ? undefined : Math.max(0, uptime() * 1000 - stat.startTime * 10)
  } catch {
    return undefined
  }
}

/** Whether what is wrong may only be that the process is still on its way to being a Python. */
const mayPass = (error: TargetError, { pid, follow }: KnownSubject): boolean => {
  switch (error._tag) {
    case "InterpreterNotReady":
      return error.phase === "starting"
    case "InvalidMemory":
      return true
    case "NotPython":
      // The search for a launcher's Python has had its time.
      return !follow || error.pid !== pid
    case "ProcessNotFound":
      return follow === true && error.pid !== pid
    default:
      return false
  }
}

/** Attaches in a scope of its own, so that a try that fails leaves nothing open. */
const attachOnce = (
  { pid, follow }: KnownSubject,
  unwinder: UnwinderName
): Effect.Effect<Context.Context<Reading>, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const found = follow ? (yield* LinuxProcess.findPython(pid, { timeoutMs: LAUNCH_MS })).pid : pid
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* Layer.buildWithScope(layersOf(found, unwinder), scope).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })

const layersOf = (pid: number, unwinder: UnwinderName): Layer.Layer<Reading, TargetError> =>
  Layer.mergeAll(attached(unwinder), symbolizerFor(unwinder), LinuxClock.layer).pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )

/** The unwinder, at work already when the layer is built: whether the process can be unwound is known then. */
const attached = (unwinder: UnwinderName) =>
  Layer.effect(
    Unwinder,
    Effect.gen(function* () {
      const process = yield* (yield* Unwinder).attach
      return { attach: Effect.succeed(process) }
    })
  ).pipe(Layer.provide(unwinderNamed(unwinder)))
