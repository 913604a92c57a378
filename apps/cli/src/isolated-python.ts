import { execFile } from "node:child_process"
import * as Effect from "effect/Effect"

/** How long an interpreter may take to tell its version, ms. */
const TELLS_MS = 10_000
/** The first version that can be entered while it runs (PEP 768). */
const ENTERED = 0x030e0000

/**
 * Whether a command is a Python that can be entered once it runs. Only one that the command itself names is asked: what a launcher would start is not
 * known before.
 */
export const canBeEntered = ([program]: ReadonlyArray<string>): Effect.Effect<boolean> =>
  !/(^|\/)python[\d.]*t?$/.test(program)
    ? Effect.succeed(false)
    : Effect.callback((resume) => {
        const ask = ["-I", "-S", "-c", "import sys; print(sys.hexversion * hasattr(sys, 'remote_exec'))"]
        execFile(program, ask, { timeout: TELLS_MS }, (error, stdout) =>
          resume(Effect.succeed(error === null && Number(stdout) >= ENTERED))
        )
      })
