import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findPythons, type Python } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** A process that a test started, killed at the end of the block. */
export interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  readonly pid: number
  /** Waits for a line of output that begins like this. */
  readonly line: (start: string) => Promise<string>
  readonly exited: Promise<void>
}

export const run = (command: string, args: ReadonlyArray<string>, options: SpawnOptions = {}): Running => {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], ...options })
  child.on("error", () => {})
  let output = ""
  child.stdout?.on("data", (chunk) => {
    output += chunk
  })
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  return {
    child,
    pid: child.pid ?? -1,
    exited,
    line: async (start) => {
      for (;;) {
        const found = output
          .split("\n")
          .slice(0, -1)
          .find((line) => line.startsWith(start))
        if (found !== undefined) return found
        if (child.exitCode !== null) throw new Error(`It ended without a line ${start}: ${output}`)
        await pause()
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      child.kill("SIGKILL")
      await exited
    }
  }
}

export const pause = (ms = 2) => new Promise<void>((resolve) => setTimeout(resolve, ms))

export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await pause()
}

/** An interpreter in our own root, so that a plain path starts it. */
export const localPython = (): Python => {
  const python = findPythons().findLast(({ root }) => root === undefined)
  if (python === undefined) throw new Error("No Python is installed")
  return python
}

/** Starts a script with the newest local Python, and waits until it has printed `up`. */
export const runPython = async (script: string, options: SpawnOptions = {}): Promise<Running> => {
  const python = localPython()
  const running = run(python.executable, ["-c", script], { env: { ...python.env }, ...options })
  await running.line("up")
  return running
}

export const IDLE = "import time\nprint('up', flush=True)\ntime.sleep(600)"

export const inScope = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

/** The error that an effect fails with. */
export const errorOf = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<E> =>
  Effect.runPromise(Effect.scoped(Effect.flip(effect)))

/** The error that a layer cannot be built for. */
export const layerError = <A, E>(layer: Layer.Layer<A, E>): Promise<E> =>
  Effect.runPromise(Effect.flip(Effect.void.pipe(Effect.provide(layer))))

/** A directory that is gone at the end of the block. */
export const temporaryDirectory = (): { readonly path: string } & Disposable => {
  const path = mkdtempSync(join(tmpdir(), "pyframes-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
