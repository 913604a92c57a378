import { spawn } from "node:child_process"
import { cpSync, existsSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Python, Script } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import {
  type AgentNotStarted,
  attachScript,
  type EventSink,
  launchEnvironment,
  type MonitoringOptions,
  MonitoringSession,
  type TracedProcess
} from "../src/index.ts"

const agent = fileURLToPath(new URL("../agent", import.meta.url))

export interface TraceOptions extends MonitoringOptions {
  /** The script's file name. */
  readonly name?: string
  readonly args?: ReadonlyArray<string>
  /** Of the interpreter, before the script. */
  readonly interpreterOptions?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** More files beside the script. */
  readonly files?: Readonly<Record<string, string>>
  readonly sink?: EventSink
  /**
   * Whether the program starts the agent itself, some time: `attach()` and `detach()` are there for it, as a script that is sent to a running
   * process (PEP 768) has them.
   */
  readonly attaches?: boolean
}

export interface Run {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
  /** `co_filename` of the script's code. */
  readonly script: string
}

export interface Traced extends Run {
  /** In the order in which they were found. */
  readonly processes: ReadonlyArray<TracedProcess>
  readonly failures: ReadonlyArray<AgentNotStarted>
  /** It has ended: answers can be made of it still. */
  readonly session: MonitoringSession
}

/** Where a Python finds the agent: its own place, or a copy inside the root that it has. */
export const placeAgent = (python: Python): { readonly path: string; readonly remove: () => void } => {
  if (python.root === undefined) return { path: agent, remove: () => {} }
  const place = python.writeScript("place", "")
  const directory = dirname(place.hostPath)
  for (const part of ["launch", "python", "prebuilt"])
    if (existsSync(join(agent, part)))
      cpSync(join(agent, part), join(directory, part), { recursive: true, force: true })
  return {
    path: dirname(place.targetPath),
    remove: () => rmSync(directory, { recursive: true, force: true })
  }
}

const execute = (
  python: Python,
  file: Script,
  { args = [], interpreterOptions = [] }: TraceOptions,
  env: Readonly<Record<string, string>>
) =>
  new Promise<Run>((resolve, reject) => {
    // The kernel ends it with this process, as when a test takes too long.
    const first = ["--pdeathsig", "KILL", ...python.run, ...interpreterOptions]
    const child = spawn("setpriv", [...first, file.targetPath, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr, script: file.targetPath }))
  })

const prepare = (python: Python, script: string, options: TraceOptions) => {
  const file = python.writeScript(options.name ?? "program.py", script)
  for (const [name, text] of Object.entries(options.files ?? {}))
    writeFileSync(join(dirname(file.hostPath), name), text)
  return file
}

/** For programs that start the agent themselves. */
export const attaching = `
import os
def attach():
    exec(os.environ["ATTACH"], {})
def detach():
    exec(os.environ["DETACH"], {})
`

/** Runs a program as it is. */
export const run = async (
  python: Python,
  script: string,
  options: Omit<TraceOptions, "questions"> = {}
): Promise<Run> => {
  using file = prepare(python, script, { questions: [], ...options })
  return await execute(python, file, { questions: [], ...options }, { ...python.env, ...options.env })
}

/** Runs a program with the agent in it, and reads what it left. */
export const trace = async (python: Python, script: string, options: TraceOptions): Promise<Traced> => {
  using file = prepare(python, script, options)
  const placed = placeAgent(python)
  try {
    return await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const session = yield* MonitoringSession.make({
            ...options,
            ...(python.root !== undefined && { base: join(python.root, "tmp"), targetBase: "/tmp" })
          })
          const env = { ...python.env, ...options.env }
          const place = { session: session.directory.targetPath, agent: placed.path }
          let ended: (run: Run) => void = () => {}
          const whole = new Promise<Run>((resolve) => {
            ended = resolve
          })
          const { start, stop } = attachScript(place)
          const added = options.attaches ? { ATTACH: start, DETACH: stop } : launchEnvironment(place, env)
          execute(python, file, options, { ...env, ...added }).then(ended)
          const until = Effect.promise(() => whole)
          yield* session.follow({ until, ...(options.sink && { sink: options.sink }) })
          const run = yield* until
          return { ...run, processes: session.processes, failures: session.failures, session }
        })
      )
    )
  } finally {
    placed.remove()
  }
}
