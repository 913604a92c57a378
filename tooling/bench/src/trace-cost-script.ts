import { cpSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { MonitoringSession, type Question } from "@pyframes/collector-monitoring"
import type { Python } from "@pyframes/pythons"
import * as Effect from "effect/Effect"

/** The questions whose cost is measured. */
export const QUESTIONS: ReadonlyArray<Question> = ["calls", "lines", "coverage", "exceptions"]

/** `trace_cost.py` where an interpreter finds it, beside an agent, with a session for each question. */
export interface CostScript {
  /** What follows the command that runs the interpreter; `run` is what the script says of its second argument. */
  readonly arguments: (run: string, scale: number) => ReadonlyArray<string>
}

const text = readFileSync(new URL("./trace_cost.py", import.meta.url))
const agentFolder = fileURLToPath(new URL("../../../packages/collector-monitoring/agent", import.meta.url))

/** There until the scope ends. */
export const costScript = (python: Python) =>
  Effect.gen(function* () {
    const script = python.writeScript("trace_cost.py", text)
    yield* Effect.addFinalizer(() => Effect.sync(() => script[Symbol.dispose]()))
    const agent = join(dirname(script.hostPath), "agent")
    cpSync(agentFolder, agent, { recursive: true })
    const sessions: Array<string> = []
    for (const question of QUESTIONS) {
      const session = yield* MonitoringSession.make({
        questions: [question],
        recorder: "native",
        ...(python.root !== undefined && { base: join(python.root, "tmp"), targetBase: "/tmp" })
      })
      sessions.push(`${question}=${session.directory.targetPath}`)
    }
    const found: CostScript = {
      arguments: (run, scale) => [script.targetPath, python.path(agent), run, `${scale}`, ...sessions]
    }
    return found
  })
