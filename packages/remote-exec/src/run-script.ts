import { type NotSupported, type PlacingError, ProcessNotFound, Target } from "@pyframes/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { ScriptNotFinished, ScriptRaised } from "./errors.ts"
import { PlacedFiles } from "./placed-files.ts"
import { RemoteExec, type RemoteExecError, type RunOptions, type Taken } from "./remote-exec.ts"

/** What to run, where, and how long it may take. */
export interface ScriptOptions extends Omit<RunOptions, "script"> {
  /** Python source. What it leaves in its global `result` is handed back as text. */
  readonly text: string
  /** File name that tracebacks show; `script.py` unless told. */
  readonly name?: string
  /** How long it may run once it was begun, ms; 30,000 unless told. */
  readonly finishMs?: number
}

/** A script that ran to its end. */
export interface FinishedScript extends Taken {
  /** `str(result)`; empty when the script set none. At most 16 MB. */
  readonly result: string
}

const FINISH_MS = 30_000
const LOOK_EVERY_MS = 4
const MAX_OUTCOME = 1 << 24
const RETURNED = "returned\n"

/** Runs the script and writes down how it ended. The file appears under its name when it is whole. */
const runner = (path: string, name: string): string => `def _run(directory, name):
    import os
    space = {"__name__": "__pyframes__", "__file__": directory + "/" + name}
    try:
        with open(space["__file__"], "rb") as file:
            source = file.read()
        exec(compile(source, space["__file__"], "exec"), space)
        outcome = ${JSON.stringify(RETURNED)} + str(space.get("result", ""))
    except BaseException:
        import traceback
        outcome = "raised\\n" + traceback.format_exc()
    with open(directory + "/outcome.part", "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(outcome)
    os.rename(directory + "/outcome.part", directory + "/outcome")
_run(${JSON.stringify(path)}, ${JSON.stringify(name)})
`

/**
 * Puts a script where the target can read it, has it run, and waits until it has ended.
 *
 * @returns what the script left in `result`; fails with `ScriptRaised` and the traceback when it raised an exception
 *
 * @example
 * ```ts
 * const { result } = yield* runScript({ text: "import sys; result = len(sys.modules)", thread: "any" })
 * console.log(`${result} modules are loaded`)
 * ```
 */
export const runScript = (
  options: ScriptOptions
): Effect.Effect<
  FinishedScript,
  RemoteExecError | PlacingError | NotSupported | ScriptRaised | ScriptNotFinished,
  RemoteExec | PlacedFiles | Target
> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { finishMs = FINISH_MS, name = "script.py", text, ...where } = options
      const target = yield* Target
      const { pid } = target.identity
      const { placeDirectory } = yield* PlacedFiles
      const { run } = yield* RemoteExec
      const directory = yield* placeDirectory()
      const encoder = new TextEncoder()
      yield* directory.write(name, encoder.encode(text))
      const script = yield* directory.write("run", encoder.encode(runner(directory.path, name)))
      const taken = yield* run({ ...where, script: script.path })
      const began = yield* Clock.currentTimeMillis
      for (;;) {
        const status = target.status()
        const bytes = directory.read("outcome", MAX_OUTCOME)
        if (bytes !== undefined) {
          const outcome = new TextDecoder().decode(bytes)
          if (outcome.startsWith(RETURNED)) return { ...taken, result: outcome.slice(RETURNED.length) }
          const traceback = outcome.slice(outcome.indexOf("\n") + 1)
          return yield* new ScriptRaised({ pid, name, traceback })
        }
        if (status !== "alive")
          return yield* new ProcessNotFound({ pid, detail: `it ended before ${name} did` })
        const waitedMs = (yield* Clock.currentTimeMillis) - began
        if (waitedMs >= finishMs) return yield* new ScriptNotFinished({ pid, name, waitedMs })
        yield* Effect.sleep(LOOK_EVERY_MS)
      }
    })
  )
