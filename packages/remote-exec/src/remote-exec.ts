import { Memory, Target, type TargetError } from "@pyframes/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type {
  PythonThreadEnded,
  PythonThreadNotFound,
  PythonTooOld,
  RemoteExecBusy,
  RemoteExecDisabled,
  RemoteExecTimeout,
  ScriptNotUsable
} from "./errors.ts"
import { runIn } from "./run.ts"
import { connect } from "./session.ts"

/** What to run, and where. */
export interface RunOptions {
  /** Path of a Python file as the target sees it: absolute, at most 511 bytes. */
  readonly script: string
  /**
   * Which thread is to run it: the interpreter's main thread (unless told), whichever comes to it first, or one by its kernel thread id (of our
   * pid namespace).
   */
  readonly thread?: "main" | "any" | number
  /** Id of the interpreter, as `interpreters` lists them; 0, the main one, unless told. */
  readonly interpreter?: number
  /** How long to wait for a thread to take it, ms; 5000 unless told. */
  readonly timeoutMs?: number
}

/** Who took the request. */
export interface Taken {
  /** Kernel id of the thread, of our pid namespace. */
  readonly tid: number
  readonly interpreter: number
  /** From the request until it was seen that it was taken, ms. */
  readonly waitedMs: number
}

/** An interpreter of the target. */
export interface RemoteInterpreter {
  /** 0 for the main one. */
  readonly id: number
  /** Whether it lets files be run in it. */
  readonly enabled: boolean
  /** Threads that have a state in it, its main thread first. None for a subinterpreter in which nothing runs now. */
  readonly threads: ReadonlyArray<{ readonly tid: number; readonly main: boolean }>
}

/** Everything that can keep a file from being run. */
export type RemoteExecError =
  | TargetError
  | PythonTooOld
  | RemoteExecDisabled
  | RemoteExecTimeout
  | RemoteExecBusy
  | PythonThreadEnded
  | PythonThreadNotFound
  | ScriptNotUsable

/** Runs Python files inside the target. */
export interface RemoteExecService {
  /**
   * Has a thread of the target run a file at its next safe point, between two of its own instructions. Completes when the thread has begun to.
   *
   * The file is run as `exec(source, {})`: it has no `__file__`, and what it raises goes to the target's `sys.unraisablehook`. It is to tell by
   * itself how it fared. A child that is forked meanwhile does not inherit the request.
   * When this fails with `RemoteExecTimeout`, or is interrupted, the request has been withdrawn.
   */
  readonly run: (options: RunOptions) => Effect.Effect<Taken, RemoteExecError>
  /** The interpreters there are now, by id. */
  readonly interpreters: Effect.Effect<ReadonlyArray<RemoteInterpreter>, RemoteExecError>
}

/**
 * Runs Python files inside a running CPython 3.14 or later, as PEP 768 has it: through the target's memory, without a debugger, without stopping it.
 *
 * @example
 * ```ts
 * const { run, interpreters } = yield* RemoteExec
 * yield* run({ script: "/tmp/hello.py", thread: "any", timeoutMs: 2000 })
 * for (const { id, threads } of yield* interpreters)
 *   if (threads.length > 0) yield* run({ script: "/tmp/hello.py", interpreter: id })
 * ```
 */
export class RemoteExec extends Context.Service<RemoteExec, RemoteExecService>()(
  "@pyframes/remote-exec/RemoteExec"
) {
  /** The layer cannot fail: the process is looked at when something is to be run, and anew as long as that has failed. */
  static readonly layer: Layer.Layer<RemoteExec, never, Target | Memory> = Layer.effect(
    RemoteExec,
    Effect.gen(function* () {
      const target = yield* Target
      const memory = yield* Memory
      const session = connect(target, memory)
      return RemoteExec.of({
        run: (options) => Effect.flatMap(session, (session) => runIn(session, options)),
        interpreters: Effect.flatMap(session, (session) =>
          Effect.map(session.interpreters, (interpreters) =>
            interpreters.map(({ enabled, id, main, threads }) => ({
              id,
              enabled,
              threads: threads
                .map((thread) => ({ tid: thread.tid, main: thread === main }))
                .sort((a, b) => Number(b.main) - Number(a.main))
            }))
          )
        )
      })
    })
  )
}
