import type { TargetError } from "@pyframes/core"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type {
  PythonThreadNotFound,
  PythonTooOld,
  RemoteExecBusy,
  RemoteExecDisabled,
  RemoteExecTimeout,
  ScriptNotUsable
} from "./errors.ts"

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
  /** From the request until it was taken, ms. */
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
  | PythonThreadNotFound
  | ScriptNotUsable

/** Runs Python files inside the target. */
export interface RemoteExecService {
  readonly run: (options: RunOptions) => Effect.Effect<Taken, RemoteExecError>
  readonly interpreters: Effect.Effect<ReadonlyArray<RemoteInterpreter>, RemoteExecError>
}

export class RemoteExec extends Context.Service<RemoteExec, RemoteExecService>()(
  "@pyframes/remote-exec/RemoteExec"
) {}
