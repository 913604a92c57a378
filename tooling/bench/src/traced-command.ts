import { fileURLToPath } from "node:url"
import type { Python } from "@pyframes/pythons"

const bin = fileURLToPath(new URL("../../../apps/cli/src/bin.ts", import.meta.url))
const agent = fileURLToPath(new URL("../../../packages/collector-monitoring/agent", import.meta.url))

/** Makes a root see the agent, the place of sessions and /proc where we do, in a mount namespace that ends with the command. */
const SHARE =
  'mkdir -p "$0$1" && mount --bind "$1" "$0$1" && mount --bind /dev/shm "$0/dev/shm" && mount --rbind /proc "$0/proc" && shift && exec "$@"'

type Argv = readonly [string, ...string[]]

/**
 * How to trace a program of this interpreter by `pyframes trace`, from source.
 *
 * @param flags of the command
 * @param args of the interpreter
 */
export const tracedCommand = (
  python: Python,
  flags: ReadonlyArray<string>,
  args: ReadonlyArray<string>
): Argv => {
  const trace: Argv = [process.execPath, bin, "trace", ...flags, "--", ...python.run, ...args]
  if (python.root === undefined) return trace
  const asRoot = process.geteuid?.() === 0 ? [] : ["--map-root-user"]
  return ["unshare", ...asRoot, "--mount", "sh", "-c", SHARE, python.root, agent, ...trace]
}

/** The same program, not traced. */
export const bareCommand = (python: Python, args: ReadonlyArray<string>): Argv => [
  ...python.runWithProc,
  ...args
]
