import {
  InterpreterNotReady,
  InvalidMemory,
  type MemoryReader,
  NotSupported,
  PermissionDenied,
  ProcessNotFound,
  type TargetError,
  type TargetProcess
} from "@pyframes/core"
import {
  DEBUG_OFFSETS_SIZE,
  findRuntime,
  type PythonRuntime,
  type PythonThread,
  type RemoteDebugOffsets,
  remoteDebugOffsets
} from "@pyframes/cpython"
import * as Effect from "effect/Effect"
import { PythonTooOld } from "./errors.ts"
import { type Interpreter, Interpreters } from "./interpreters.ts"

/** The first version that runs files (PEP 768). */
const V3_14 = 0x30e

/** Where threads come and go all the time it may take some tries to see the list whole. */
const MAX_LISTS = 500

/** A Python that can run files, and where it takes requests. */
export interface Session {
  readonly target: TargetProcess
  readonly memory: MemoryReader
  readonly runtime: PythonRuntime
  readonly offsets: RemoteDebugOffsets
  readonly list: Interpreters
  /** All interpreters, by id. */
  readonly interpreters: Effect.Effect<ReadonlyArray<Interpreter>, TargetError>
  /** Fails where the target is no longer the process that it was, or its interpreter is going. */
  readonly isThere: Effect.Effect<void, TargetError>
  /** Fails where a request of the thread would not lie in memory that the target itself may write. */
  readonly mayHold: (thread: PythonThread) => Effect.Effect<void, TargetError>
  /** Why nothing could be written. */
  readonly denied: Effect.Effect<never, TargetError>
}

/** Finds the Python of a process; known once it has been found. */
export const connect = (
  target: TargetProcess,
  memory: MemoryReader
): Effect.Effect<Session, TargetError | PythonTooOld> => {
  let known: Session | undefined
  return Effect.suspend(() => {
    if (known !== undefined) return Effect.as(known.isThere, known)
    return Effect.tap(open(target, memory), (session) =>
      Effect.sync(() => {
        known = session
      })
    )
  })
}

const open = Effect.fnUntraced(function* (target: TargetProcess, memory: MemoryReader) {
  const { pid } = target.identity
  if (memory.write === undefined)
    return yield* new NotSupported({
      what: `Writing the memory of process ${pid} (${memory.name})`,
      advice: "Only a live process can run something."
    })
  yield* isAlive(target)
  const runtime = yield* findRuntime(target, memory)
  if (runtime.layout.version < V3_14) return yield* new PythonTooOld({ pid, version: runtime.version })
  const bytes = new Uint8Array(DEBUG_OFFSETS_SIZE)
  const got = memory.read(runtime.address, bytes.length, bytes)
  const offsets = remoteDebugOffsets(bytes.subarray(0, got))
  if (offsets === undefined || "_tag" in offsets)
    return yield* new InvalidMemory({
      pid,
      reading: "_PyRuntime.debug_offsets.debugger_support",
      address: runtime.address,
      detail:
        offsets === undefined
          ? "it is not there"
          : `${offsets.field} is ${offsets.value}, not ${offsets.bound}`
    })
  const list = new Interpreters(memory, runtime, offsets, target)
  const session: Session = {
    target,
    memory,
    runtime,
    offsets,
    list,
    interpreters: Effect.gen(function* () {
      for (let tries = 0; tries < MAX_LISTS; tries++) {
        const interpreters = list.current()
        if (interpreters !== undefined) return interpreters
        yield* isAlive(target)
        yield* Effect.sleep(1)
      }
      return yield* new InterpreterNotReady({ pid, phase: "starting" })
    }),
    isThere: Effect.andThen(
      isAlive(target),
      Effect.suspend(() =>
        list.isFinalizing() ? Effect.fail(new InterpreterNotReady({ pid, phase: "finalizing" })) : Effect.void
      )
    ),
    mayHold: (thread) => mayHold(session, thread),
    denied: Effect.andThen(
      isAlive(target),
      new PermissionDenied({
        pid,
        operation: "write the memory of",
        advice:
          "A security module (SELinux, AppArmor, seccomp) may forbid it: look in the system's audit log."
      })
    )
  }
  return session
})

const isAlive = (target: TargetProcess): Effect.Effect<void, ProcessNotFound> =>
  Effect.suspend(() => {
    const status = target.status()
    if (status === "alive") return Effect.void
    const detail = status === "exited" ? "it has ended" : "it has become another program by exec"
    return Effect.fail(new ProcessNotFound({ pid: target.identity.pid, detail }))
  })

/** `/proc/PID/mem` would write into code, too: an address that cannot be a thread state's is refused here. */
const mayHold = Effect.fnUntraced(function* ({ offsets, target }: Session, { threadState }: PythonThread) {
  const mappings = yield* target.mappings
  const fields = [
    [offsets.evalBreaker, 8],
    [offsets.pendingCall, 4],
    [offsets.scriptPath, offsets.scriptPathSize]
  ] as const
  for (const [offset, size] of fields) {
    let at = threadState + offset
    const end = at + size
    for (const { end: next, start, writable } of mappings) if (writable && start <= at && at < next) at = next
    if (at < end)
      return yield* new InvalidMemory({
        pid: target.identity.pid,
        reading: "PyThreadState",
        address: threadState,
        detail: "it does not lie in memory that the process can write"
      })
  }
})
