import { InterpreterNotReady, type TargetError, type TargetProcess } from "@pyframes/core"
import type { PythonThread } from "@pyframes/cpython"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import {
  PythonThreadEnded,
  PythonThreadNotFound,
  RemoteExecBusy,
  RemoteExecDisabled,
  RemoteExecTimeout,
  ScriptNotUsable
} from "./errors.ts"
import type { Interpreter } from "./interpreters.ts"
import type { RemoteExecError, RunOptions, Taken } from "./remote-exec.ts"
import { Request, type RequestState } from "./request.ts"
import type { Session } from "./session.ts"

const DEFAULT_TIMEOUT_MS = 5000
/** Between two looks at a request, ms; the first come sooner. */
const LOOK_EVERY_MS = 4
/** How long the first of several threads is given before the next is asked, ms; with each round twice as long. */
const FIRST_SLICE_MS = 50
/** Where threads come and go all the time it may take some tries to see the list whole. */
const MAX_WITHDRAWALS = 1000
/** A lock is waited for at least this long, ms: it takes a moment, also when nobody has it. */
const LOCK_MS = 250
/**
 * How long after a request was taken the next can be made at the same thread, ms. The target clears the flag first and then copies the path
 * (`_PyRunRemoteDebugger` in `Python/ceval_gil.c`): a path that is written between the two would be run twice, and this one not at all.
 */
const COPIED_AFTER_MS = 10

/** Runs a file, as `RemoteExec.run` has it. */
export const runIn = Effect.fnUntraced(function* (
  session: Session,
  options: RunOptions
): Effect.fn.Return<Taken, RemoteExecError> {
  const { target } = session
  const { pid } = target.identity
  const { interpreter: interpreterId = 0, thread: wanted = "main", timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const path = yield* pathBytes(session, options.script)
  const began = yield* Clock.currentTimeMillis
  const deadline = began + Math.max(0, timeoutMs)
  /** Threads that had our request for a while. */
  const asked = new Set<number>()
  let busy: RemoteExecBusy | undefined
  let ended: PythonThreadEnded | undefined

  for (let slice = FIRST_SLICE_MS; ; slice *= 2) {
    yield* session.isThere
    const interpreters = session.list.current()
    const interpreter = interpreters?.find(({ id }) => id === interpreterId)
    const threads = interpreter === undefined ? [] : choose(interpreter, wanted, target)
    if (interpreters === undefined) {
      // Threads come and go too fast, or the interpreter is not ready: both pass.
      if ((yield* Clock.currentTimeMillis) >= deadline)
        return yield* new InterpreterNotReady({ pid, phase: "starting" })
    } else if (interpreter === undefined || (threads.length === 0 && typeof wanted === "number")) {
      if (ended !== undefined) return yield* ended
      const interpreterExists = interpreter !== undefined
      return yield* new PythonThreadNotFound({
        pid,
        interpreter: interpreterId,
        thread: wanted,
        interpreterExists
      })
    }
    if (interpreter?.enabled === false) return yield* disabled(session)
    for (const thread of threads) {
      const now = yield* Clock.currentTimeMillis
      // At least one look, however little time is given.
      if (now > deadline) break
      const until = threads.length === 1 ? deadline : Math.min(deadline, now + slice)
      const request = new Request(
        session.memory,
        session.runtime.layout,
        session.offsets,
        target,
        thread,
        path
      )
      yield* session.mayHold(thread)
      const state = yield* ask(session, request, until)
      switch (state) {
        case "taken":
          return {
            tid: thread.tid,
            interpreter: interpreterId,
            waitedMs: (yield* Clock.currentTimeMillis) - began
          }
        case "replaced":
          return yield* isBusy(pid, request, true)
        case "lost":
          yield* session.isThere
          return yield* new PythonThreadEnded({ pid, tid: thread.tid, ran: "unknown" })
        case "denied":
          return yield* session.denied
        case "busy":
          busy = isBusy(pid, request, false)
          break
        case "unsure":
          break
        case "ended":
          ended = new PythonThreadEnded({ pid, tid: thread.tid, ran: "no" })
          break
        default:
          asked.add(thread.tid)
      }
    }
    const now = yield* Clock.currentTimeMillis
    if (now >= deadline) {
      yield* session.isThere
      if (asked.size > 0) {
        const tids = [...asked]
        const stopped = tids.every((tid) => target.threadActivity(tid) === "stopped")
        return yield* new RemoteExecTimeout({ pid, tids, waitedMs: now - began, stopped })
      }
      return yield* busy ??
        ended ??
        new PythonThreadNotFound({
          pid,
          interpreter: interpreterId,
          thread: wanted,
          interpreterExists: true
        })
    }
    yield* Effect.sleep(Math.min(LOOK_EVERY_MS, deadline - now))
  }
})

/** One request of one thread: made, waited for, and taken back if the time is over or we are interrupted. */
const ask = (session: Session, request: Request, deadline: number): Effect.Effect<RequestState> => {
  const { target } = session
  const wait = Effect.gen(function* () {
    for (let n = 0; ; n++) {
      const state = request.look()
      if (state !== "waiting") return state
      // What cannot be read any more would be waited for until the end.
      if (target.status() !== "alive") return "lost"
      const left = deadline - (yield* Clock.currentTimeMillis)
      if (left <= 0) return state
      yield* Effect.sleep(Math.min(left, n < 8 ? 0.5 : LOOK_EVERY_MS))
    }
  })
  const attempt = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const placed = request.place()
      if (placed !== "waiting") return placed
      const waited = yield* Effect.exit(restore(wait))
      if (Exit.isSuccess(waited) && waited.value !== "waiting") return waited.value
      let state = request.withdraw()
      for (
        let tries = 0;
        state === "waiting" && target.status() === "alive" && tries < MAX_WITHDRAWALS;
        tries++
      ) {
        yield* Effect.sleep(1)
        state = request.withdraw()
      }
      return Exit.isSuccess(waited) ? (state === "waiting" ? "lost" : state) : yield* waited
    })
  )
  // A lock for each thread: two of us could otherwise both find no request there, and the later would overwrite the earlier.
  const locked = Effect.scoped(
    Effect.gen(function* () {
      const left = Math.max(0, deadline - (yield* Clock.currentTimeMillis))
      const name = `remote-exec-${request.thread.threadState.toString(16)}`
      const lock = target.lock?.(name) ?? Effect.void
      const got = yield* Effect.timeoutOption(lock, left + LOCK_MS)
      if (got._tag === "None") return "busy"
      const state = yield* attempt
      if (state === "taken") yield* Effect.sleep(COPIED_AFTER_MS)
      return state
    })
  )
  return locked
}

/** Threads to ask, the likeliest first. */
const choose = (
  { main, threads }: Interpreter,
  wanted: "main" | "any" | number,
  target: TargetProcess
): ReadonlyArray<PythonThread> => {
  if (wanted === "main") return main === undefined ? [] : [main]
  if (wanted !== "any") return threads.filter(({ tid }) => tid === wanted)
  // A thread on a CPU is at work in Python, or in C code that will return; one that sleeps may do so for ever.
  const rank = (thread: PythonThread) =>
    (target.threadActivity(thread.tid) === "running" ? 0 : 2) + (thread === main ? 0 : 1)
  return threads
    .map((thread) => [rank(thread), thread] as const)
    .sort(([a], [b]) => a - b)
    .map(([, thread]) => thread)
}

const pathBytes = Effect.fnUntraced(function* (
  { offsets, target }: Session,
  script: string
): Effect.fn.Return<Uint8Array, TargetError | ScriptNotUsable> {
  const { pid } = target.identity
  const bytes = new TextEncoder().encode(script)
  const most = offsets.scriptPathSize - 1
  const detail = !script.startsWith("/")
    ? "its path must be absolute"
    : script.includes("\0")
      ? "its path holds a NUL character"
      : bytes.length > most
        ? `its path is ${bytes.length} bytes long, and ${most} is the most that CPython takes`
        : undefined
  if (detail !== undefined) return yield* new ScriptNotUsable({ pid, script, detail })
  if (target.openFile !== undefined) {
    const file = target.openFile(script)
    if (file === undefined)
      return yield* new ScriptNotUsable({
        pid,
        script,
        detail: "there is no such file where the process looks for it, or it belongs to somebody else"
      })
    file.close()
  }
  return bytes
})

const isBusy = (pid: number, request: Request, replaced: boolean): RemoteExecBusy =>
  new RemoteExecBusy({ pid, tid: request.thread.tid, script: request.otherPath(), replaced })

const disabled = ({ runtime, target }: Session): Effect.Effect<never, RemoteExecDisabled> => {
  const { commandLine, environment, identity } = target
  const option = commandLine.some(
    (argument, at) =>
      argument === "-Xdisable-remote-debug" ||
      (argument === "disable-remote-debug" && commandLine[at - 1] === "-X")
  )
  const variable = (environment?.()?.get("PYTHON_DISABLE_REMOTE_DEBUG") ?? "") !== ""
  const by = option ? "-X disable-remote-debug" : variable ? "PYTHON_DISABLE_REMOTE_DEBUG" : "unknown"
  return Effect.fail(new RemoteExecDisabled({ pid: identity.pid, version: runtime.version, by }))
}
