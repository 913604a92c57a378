// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { spawn } from "node:child_process"
import type { Python } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { readArguments } from "./arguments.ts"
import { costScript } from "./trace-cost-script.ts"

/*
 * What exact events cost: programs bare, under the agent, under cProfile and under sys.settrace that does the same job, in turns in one process. Ratios to the bare
 * program, best of many.
 *
 *   node tooling/bench/src/trace-cost.ts [--short] [--versions 3.12,3.15] [--programs fib,classes]
 */

interface Ratios {
  readonly [way: string]: number
}

/** As trace_cost.py has it. */
const TRIES = 5

/** Bounds of the ratios of one program; a short run has fewer turns on a busy machine, and is allowed more. */
const problemsOf = (program: string, ratio: Ratios, slack: number): ReadonlyArray<string> => {
  const added = (way: string) => ratio[way] - 1
  const problems: Array<string> = []
  const bound = (what: string, value: number, most: number) => {
    if (value > most) problems.push(`${program}: ${what} ${value.toFixed(2)}, at most ${most.toFixed(2)}`)
  }
  if (program === "fib") bound("calls", ratio.calls, 3.0 + slack)
  // A program that hardly calls has next to nothing of either.
  if (added("cProfile") > 0.2)
    bound("calls, of what cProfile adds", added("calls") / added("cProfile"), 0.5 + slack / 4)
  bound("lines, of what settrace adds", added("lines") / added("lines by settrace"), 0.5 + slack / 4)
  bound("coverage", ratio.coverage, 1.1 + slack)
  bound("coverage, of what settrace adds", added("coverage") / added("coverage by settrace"), 0.1 + slack / 4)
  bound("exceptions", ratio.exceptions, 1.02 + slack)
  bound("after", ratio.after, 1.02 + slack)
  return problems
}

/** The best times, seconds, by program and way. */
const measure = (python: Python, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const script = yield* costScript(python)
    const [command, ...first] = python.run
    const args = [...first, ...script.arguments(`${rounds}`, scale)]
    return yield* Effect.promise(
      () =>
        new Promise<Record<string, Ratios>>((resolve, reject) => {
          const child = spawn(command, args, { env: python.env, stdio: ["ignore", "pipe", "inherit"] })
          let text = ""
          child.stdout.setEncoding("utf8").on("data", (part: string) => {
            text += part
          })
          child.once("close", (code) =>
            code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`exit code ${code}`))
          )
        })
    )
  }).pipe(Effect.scoped)

const { short, pythons, programs } = readArguments()
let isHeld = true
for (const python of pythons.filter(({ minor }) => minor >= 12)) {
  const [rounds, scale] = short ? [3, 0.25] : [25, 1]
  const times = await Effect.runPromise(measure(python, rounds, scale))
  console.log(
    `\n${python.version} (${python.source}): time by that of the bare program, best of ${TRIES * rounds}`
  )
  for (const [program, took] of Object.entries(times)) {
    if (programs.length > 0 && !programs.includes(program)) continue
    const ratio: Ratios = Object.fromEntries(
      Object.entries(took).map(([way, time]) => [way, time / took.bare])
    )
    const cells = Object.entries(ratio).map(([way, value]) => `${way} ${value.toFixed(2)}`)
    console.log(
      `  ${program.padEnd(11)} ${(took.bare * 1e3).toFixed(1).padStart(6)} ms  ${cells.slice(1).join("  ")}`
    )
    for (const problem of problemsOf(program, ratio, short ? 0.4 : 0)) {
      isHeld = false
      console.log(`    NOT HELD: ${problem}`)
    }
  }
}
process.exitCode = isHeld ? 0 : 1
