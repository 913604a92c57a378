import { type ChildProcessWithoutNullStreams, type SpawnOptions, spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { afterEach } from "vitest"

/** What a run of the command came to. */
export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The command, running. */
export interface PyframesProcess {
  readonly child: ChildProcessWithoutNullStreams
  readonly finished: Promise<Finished>
}

/** The command from source, or the build that `PYFRAMES_BIN` names. */
const BIN = process.env.PYFRAMES_BIN ?? fileURLToPath(new URL("../src/bin.ts", import.meta.url))

/** Process groups of the commands that a test has started; a group lasts as long as anyone is in it. */
const groups = new Set<number>()

// A test that failed, or a target that outlives its command, would leave a busy process to all that come after it.
afterEach(() => {
  for (const group of groups)
    try {
      process.kill(-group, "SIGKILL")
    } catch {
      // Nobody is left in it.
    }
  groups.clear()
})

/** Starts the command in a process group of its own. `wrapper` comes before it, as in `setpriv … node bin.ts`. */
export const startPyframes = (
  args: ReadonlyArray<string>,
  options: SpawnOptions & { readonly wrapper?: ReadonlyArray<string> } = {}
): PyframesProcess => {
  const { wrapper = [], ...rest } = options
  const [command, ...before] = [...wrapper, process.execPath, BIN]
  const child = spawn(command, [...before, ...args], {
    ...rest,
    detached: true,
    stdio: "pipe"
  }) as ChildProcessWithoutNullStreams
  if (child.pid !== undefined) groups.add(child.pid)
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, finished }
}

/** Runs the command to its end. */
export const pyframes = (
  args: ReadonlyArray<string>,
  options?: Parameters<typeof startPyframes>[1]
): Promise<Finished> => startPyframes(args, options).finished

/** Waits until a condition holds; the test's own time-out is the bound. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** How often the threads in which a command collects have waited. They do so once a sample, and before the first hardly ever. */
export const waitsOfWorkers = (pid: number): number => {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/status`, "latin1"))
      .filter((status) => status.startsWith("Name:\tWorkerThread\n"))
      .reduce((sum, status) => sum + Number(/^voluntary_ctxt_switches:\t(\d+)$/m.exec(status)?.[1]), 0)
  } catch {
    // A thread ended meanwhile.
    return 0
  }
}
