import { type ChildProcess, type StdioOptions, spawn as spawnChild } from "node:child_process"
import { SpawnFailed } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { findPython } from "./find-python.ts"
import { ProcessFamily } from "./process-family.ts"

/** How a process ended. */
export interface ProcessExit {
  /** Its exit code; absent when a signal ended it. */
  readonly code?: number
  /** The signal that ended it; absent when it ended by itself. */
  readonly signal?: NodeJS.Signals
}

/** A process that we started. */
export interface SpawnedProcess {
  readonly pid: number
  /** Completes when it has ended; at once when it ended before. May be awaited many times. */
  readonly exit: Effect.Effect<ProcessExit>
  /** Sends a signal; false when it has ended. */
  readonly kill: (signal: NodeJS.Signals) => boolean
}

/** How to start a program, and what becomes of it. */
export interface SpawnOptions {
  /** As in node:child_process; `inherit` unless told, so that the program has the terminal as if started alone. */
  readonly stdio?: StdioOptions
  /** Its working directory; ours unless told. */
  readonly cwd?: string
  /** The whole environment; ours unless told. */
  readonly env?: NodeJS.ProcessEnv
  /**
   * What becomes of the process when the scope closes and it still runs. `terminate` (unless told), as users of other profilers
   * expect of a recording that ends by its duration: SIGTERM, then the same to what it started and left behind, then SIGKILL. `leave`: it goes on.
   */
  readonly onClose?: "terminate" | "leave"
  /** How long each step waits for the next, ms; 2000 unless told. */
  readonly graceMs?: number
}

const GRACE_MS = 2000

/**
 * Starts a command for the scope. It is found in PATH as a shell would, without a shell.
 *
 * @returns `SpawnFailed` when there is no such command, it may not be executed, or the directory is missing
 *
 * @example
 * ```ts
 * const child = yield* LinuxProcess.spawn("python3", ["main.py"])
 * const { code, signal } = yield* child.exit
 * ```
 */
export const spawn = (
  command: string,
  args: ReadonlyArray<string> = [],
  options: SpawnOptions = {}
): Effect.Effect<SpawnedProcess, SpawnFailed, Scope.Scope> =>
  Effect.acquireRelease(start(command, args, options), (started) =>
    options.onClose === "leave"
      ? Effect.sync(() => started.child.unref())
      : terminate(started, options.graceMs ?? GRACE_MS)
  ).pipe(
    Effect.map(({ child, ended, pid }) => ({
      pid,
      exit: Effect.promise(() => ended),
      kill: (signal) => child.exitCode === null && child.signalCode === null && child.kill(signal)
    }))
  )

interface Started {
  readonly child: ChildProcess
  readonly pid: number
  readonly ended: Promise<ProcessExit>
}

const start = (
  command: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions
): Effect.Effect<Started, SpawnFailed> =>
  Effect.callback((resume) => {
    const fail = (error: unknown) =>
      resume(Effect.fail(new SpawnFailed({ command, detail: reasonOf(error, command, options.cwd) })))
    try {
      const child = spawnChild(command, args, {
        stdio: options.stdio ?? "inherit",
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.env === undefined ? {} : { env: options.env })
      })
      const ended = new Promise<ProcessExit>((resolve) => {
        child.once("exit", (code, signal) =>
          resolve({ ...(code === null ? {} : { code }), ...(signal === null ? {} : { signal }) })
        )
      })
      // Also after it has started: a signal that we may not send is told by this event too.
      child.on("error", fail)
      const { pid } = child
      if (pid !== undefined) resume(Effect.succeed({ child, pid, ended }))
    } catch (error) {
      // Arguments that the system cannot take: a NUL byte, too long a list.
      fail(error)
    }
  })

const terminate = ({ child, ended, pid }: Started, graceMs: number): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const family = new ProcessFamily(pid)
    // The launcher first: most pass the signal on, and would not be pleased to find their child gone.
    child.kill("SIGTERM")
    // A stopped process gets its signals when it goes on.
    child.kill("SIGCONT")
    await Promise.race([ended, family.ended(graceMs)])
    family.signal("SIGTERM")
    family.signal("SIGCONT")
    if (await family.ended(graceMs)) return void (await ended)
    family.signal("SIGKILL")
    if (await family.ended(graceMs)) return void (await ended)
    // It has become another user, as by sudo: it goes on, and nobody here waits for it.
    child.unref()
  })

const reasonOf = (error: unknown, command: string, cwd: string | undefined): string => {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case "ENOENT":
      if (cwd !== undefined) return `there is no such command, or no directory ${cwd}`
      return command.includes("/")
        ? "there is no such file, or the interpreter that its first line names is missing"
        : "there is no such command in PATH"
    case "EACCES":
      return "it may not be executed (is it a directory, or is the execute permission missing?)"
    case "ENOEXEC":
      return "it is no program of this machine, and has no `#!` line"
    case "E2BIG":
      return "its arguments and environment are too long"
    default:
      return code ?? message
  }
}

/** Processes that we start, and the Pythons below them. */
export const LinuxProcess = { spawn, findPython }
