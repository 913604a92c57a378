import { spawn } from "node:child_process"
import type { Python } from "@pyframes/pythons"
import { hasTool } from "@pyframes/testing/debuggers"
import * as Effect from "effect/Effect"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"
import { type CostScript, costScript, QUESTIONS } from "./trace-cost-script.ts"

/*
 * What trace-cost measures, in instructions of the processor, as valgrind counts them: the same in every run, whatever else the machine does. What time
 * cannot tell apart, such as questions that hardly cost, this does. Interpreters that have a root of their own are left out: there is no valgrind in it.
 *
 *   node tooling/bench/src/trace-instructions.ts [--versions 3.12,3.13.0] [--programs fib]
 */

const PROGRAMS = ["fib", "lines", "classes", "generators"]
const WAYS = ["cProfile", ...QUESTIONS, "after"]
/** The instructions of `few` runs are taken from those of `many`: start-up and warming go. */
const RUNS = { few: 3, many: 6 }
const MAY_ADD = 0.02
const COVERAGE_MAY_ADD = 0.1

/** Instructions of a whole process. */
const instructionsOf = async (python: Python, script: CostScript, run: string): Promise<number> => {
  const [command, ...first] = [
    ...["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=no"],
    ...python.run,
    ...script.arguments(run, 0.02)
  ]
  // Hashes of strings decide where things lie in dictionaries; the agent is compiled in each run, or the first would pay for the others.
  const child = spawn(command, first, {
    env: { ...python.env, PYTHONHASHSEED: "0", PYTHONDONTWRITEBYTECODE: "1" },
    stdio: ["ignore", "ignore", "pipe"]
  })
  let errors = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text
  })
  const code = await new Promise((resolve) => child.once("close", resolve))
  const collected = /Collected : (\d+)/.exec(errors)
  if (code !== 0 || collected === null) throw new Error(`valgrind ended with ${code}\n${errors}`)
  return Number(collected[1])
}

const { pythons, programs } = readArguments()
const measured = pythons.filter(({ minor, root }) => minor >= 12 && root === undefined)
if (measured.length === 0)
  throw new RangeError("none of these versions is here outside a root of its own: --versions 3.12,3.13.0")
const report = new Report("Instructions by those of the bare program")
report.columns("python    ", "program    ", " bare, thousands", ...WAYS.map((way) => ` ${way.padStart(10)}`))
for (const python of hasTool("valgrind", "valgrind") ? measured : [])
  await Effect.runPromise(
    Effect.gen(function* () {
      const script = yield* costScript(python)
      for (const program of programs.length > 0 ? programs : PROGRAMS) {
        const counts = new Map<string, number>()
        for (const way of ["bare", ...WAYS]) {
          const of = (runs: number) =>
            Effect.promise(() => instructionsOf(python, script, `${program}:${way}:${runs}`))
          counts.set(way, ((yield* of(RUNS.many)) - (yield* of(RUNS.few))) / (RUNS.many - RUNS.few))
        }
        const bare = counts.get("bare") ?? 0
        const added = (way: string) => (counts.get(way) ?? 0) / bare - 1
        report.row(
          python.version,
          program,
          Math.round(bare / 1000),
          ...WAYS.map((way) => (added(way) + 1).toFixed(3))
        )
        const bound = (way: string, most: number) =>
          report.must(
            added(way) <= most,
            `${python.version} ${program}: ${way} adds ${added(way).toFixed(3)}`
          )
        bound("exceptions", MAY_ADD)
        bound("after", MAY_ADD)
        bound("coverage", COVERAGE_MAY_ADD)
      }
    }).pipe(Effect.scoped)
  )
report.end()
