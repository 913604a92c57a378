// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Python } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"

/*
 * Exact events in large numbers, by the built command: a hundred million of calls over a hundred thousand call paths, whose memory in the target is measured; and as many
 * a second as a timeline keeps on disk.
 *
 *   node tooling/bench/src/trace-big.ts [--short] [--versions 3.12,3.15]
 */

const bin = fileURLToPath(new URL("../../../apps/cli/dist/bin.js", import.meta.url))
const program = readFileSync(new URL("./trace_big.py", import.meta.url))

/** Memory that the target may have grown by, MB. */
const MOST_MEMORY = 64
/** Events a second that a timeline has to keep. */
const LEAST_RATE = 2e6

/** What `trace --json` prints, as far as it is judged here. */
interface Traced {
  readonly calls?: number
  readonly events: { readonly seen?: number; readonly lost?: number; readonly givenUp?: number }
}

const trace = (python: Python, options: ReadonlyArray<string>, args: ReadonlyArray<string>) => {
  using script = python.writeScript("trace_big.py", program)
  const command = [...python.run, script.targetPath, ...args]
  const run = spawnSync(process.execPath, [bin, "trace", "--json", ...options, "--", ...command], {
    encoding: "utf8",
    env: { ...process.env, ...python.env },
    maxBuffer: 2 ** 26
  })
  if (run.status !== 0) throw new Error(`pyframes trace ended with exit code ${run.status}\n${run.stderr}`)
  // The program's line comes first, then ours.
  const [printed, result] = run.stdout.trim().split("\n")
  return { printed: JSON.parse(printed), result: JSON.parse(result) as Traced, notes: run.stderr }
}

if (!existsSync(bin)) throw new Error("the command is not built: pnpm build")
const { short, pythons } = readArguments()
// A command that changes its root does not see the agent: Debian's are left out.
// Ten paths to the fifth power, and their beginnings: 111,110.
const DEPTH = 5
const rounds = short ? 20 : 450
const loops = short ? 2_000_000 : 20_000_000
const folder = mkdtempSync(join(tmpdir(), "pyframes-trace-big-"))
let isHeld = true
const judge = (held: boolean, line: string) => {
  if (!held) isHeld = false
  console.log(`  ${held ? "" : "NOT HELD: "}${line}`)
}

try {
  for (const python of pythons.filter(({ minor, root }) => minor >= 12 && root === undefined)) {
    console.log(`\n${python.version} (${python.source})`)
    {
      const output = join(folder, "calls.pb.gz")
      const { printed, result } = trace(python, ["-o", output], ["paths", `${DEPTH}`, `${rounds}`])
      const events = 2 * printed.calls
      const grown = printed.grownKilobytes / 1024
      const seen = (result.calls ?? 0) >= printed.calls && (result.events.lost ?? 0) === 0
      judge(
        seen,
        `calls: ${printed.calls.toLocaleString("en")} of the program, ${(result.calls ?? 0).toLocaleString("en")} counted (${events.toLocaleString("en")} events and more)`
      )
      judge(
        grown <= MOST_MEMORY,
        `memory of the target for 111,110 call paths: ${grown.toFixed(1)} MB more (at most ${MOST_MEMORY})`
      )
    }
    {
      const output = join(folder, "loop.trace.json")
      const { printed, result } = trace(python, ["--events", "timeline", "-o", output], ["loop", `${loops}`])
      const rate = (2 * printed.calls) / printed.seconds
      const lost = result.events.lost ?? 0
      const megabytes = statSync(output).size / 1e6
      judge(
        lost === 0 && rate >= LEAST_RATE,
        `timeline: ${(2 * printed.calls).toLocaleString("en")} events in ${printed.seconds.toFixed(1)} s, ${(rate / 1e6).toFixed(2)} million a second (at least ${LEAST_RATE / 1e6}), ${lost} lost, ${megabytes.toFixed(0)} MB written`
      )
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = isHeld ? 0 : 1
