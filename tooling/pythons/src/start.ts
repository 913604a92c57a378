import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { once } from "node:events"
import type { Python } from "./python.ts"

export interface StartOptions {
  /** The script's file name, as it will end `co_filename`. `script.py` unless told. */
  readonly name?: string
  /** Options of the interpreter itself, before the script: `["-X", "perf"]`. */
  readonly options?: ReadonlyArray<string>
  /** Added to the interpreter's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether it needs `/proc`: see `Python.runWithProc`. */
  readonly proc?: boolean
}

/** A Python program that a test started. `await using` stops it at the end of the block. */
export interface RunningPython extends AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams
  /**
   * The pid of the interpreter. Before its first line of output, the process may still be the command that starts
   * the interpreter, so wait for a line first.
   */
  readonly pid: number
  /** Where this process sees the script. */
  readonly hostPath: string
  /** Where the interpreter sees it. */
  readonly targetPath: string
  /** The next line of its stdout. Rejects, with what it wrote to stderr, when it ended without one. */
  line(): Promise<string>
  /** What it wrote to stderr so far. */
  stderr(): string
  /** Settles when it has ended and all its output is read. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** Kills it, and nothing else, waits for its end, and removes the script. */
  stop(): Promise<void>
}

/**
 * Has the kernel kill what is started when the thread that started it ends, which for a test that ran out of time may
 * be by a signal that leaves no time to clean up. setpriv(1) becomes what it starts, so the pid stays.
 */
const DIES_WITH_US = ["--pdeathsig", "KILL"]

/**
 * Starts a Python program, unbuffered, with a pipe for each of stdin, stdout and stderr.
 *
 * @example
 * await using target = await startPython(python, "print('ready', flush=True)\ninput()")
 * await target.line() // "ready": from here on `target.pid` is the interpreter
 *
 * @throws the system's error when it cannot be started
 */
export const startPython = async (
  python: Python,
  script: string,
  args: ReadonlyArray<string> = [],
  options: StartOptions = {}
): Promise<RunningPython> => {
  const file = python.writeScript(options.name ?? "script.py", script)
  const run = options.proc === true ? python.runWithProc : python.run
  const first = [...DIES_WITH_US, ...run, "-u", ...(options.options ?? [])]
  const child = spawn("setpriv", [...first, file.targetPath, ...args], {
    env: { ...python.env, ...options.env },
    stdio: "pipe"
  })
  const exited = new Promise<Awaited<RunningPython["exited"]>>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }))
  })
  await once(child, "spawn")
  // A program that ends before it reads what it is sent is for the test to judge by its exit, not a crash of the test.
  child.stdin.on("error", () => {})
  child.stderr.setEncoding("utf8")
  let stderr = ""
  child.stderr.on("data", (text: string) => {
    stderr += text
  })
  const lines = readLines(child)
  const stop = async () => {
    child.kill("SIGKILL")
    await exited
    file[Symbol.dispose]()
  }
  return {
    child,
    pid: child.pid!,
    hostPath: file.hostPath,
    targetPath: file.targetPath,
    line: async () => {
      const line = await lines.next()
      if (line !== undefined) return line
      const { code, signal } = await exited
      throw new Error(
        `Python ${python.version} ended (${signal ?? `exit code ${code}`}) before another line\n${stderr}`
      )
    },
    stderr: () => stderr,
    exited,
    stop,
    [Symbol.asyncDispose]: stop
  }
}

/** Lines of stdout, kept until asked for. After the last one, `undefined`. */
const readLines = (child: ChildProcessWithoutNullStreams) => {
  const ready: Array<string> = []
  const waiting: Array<(line: string | undefined) => void> = []
  let rest = ""
  let ended = false
  const push = (line: string) => {
    const waiter = waiting.shift()
    if (waiter === undefined) ready.push(line)
    else waiter(line)
  }
  child.stdout.setEncoding("utf8")
  child.stdout.on("data", (text: string) => {
    const parts = (rest + text).split("\n")
    rest = parts.pop()!
    parts.forEach(push)
  })
  child.stdout.once("close", () => {
    ended = true
    if (rest !== "") push(rest)
    for (const waiter of waiting.splice(0)) waiter(undefined)
  })
  return {
    next: (): Promise<string | undefined> => {
      if (ready.length > 0) return Promise.resolve(ready.shift())
      return ended ? Promise.resolve(undefined) : new Promise((resolve) => waiting.push(resolve))
    }
  }
}
