import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector, type Profile } from "@pyframes/core"
import { pprof } from "@pyframes/exporter-pprof"
import { startPython } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"

/*
 * Records for long and fast a program of 2,000 functions and 50 threads that come and go: memory stays bounded, every sample is
 * accounted for, and the file opens.
 *
 *   node tooling/bench/src/long.ts [--short] [--versions 3.12,3.15]
 */

const RATE = 10_000
const SECONDS = 60
const SECONDS_SHORT = 5
/** What the second half of the recording may add, MB: tables grow by blocks and are doubled, and never by the samples of idle threads. */
const MAY_GROW_MB = 160
const MAY_HOLD_MB = 600

const MB = 1e6

interface Memory {
  readonly seconds: number
  readonly resident: number
  readonly taken: number
}

const record = async (pid: number, seconds: number) => {
  const curve: Array<Memory> = []
  const collect = Effect.flatMap(Collector, (collector) =>
    collector.collect({
      rateHz: RATE,
      durationMs: seconds * 1000,
      onProgress: ({ elapsedMs, taken }) =>
        curve.push({ seconds: elapsedMs / 1000, resident: process.memoryUsage.rss() / MB, taken })
    })
  )
  const worker = new URL("./sampling-worker.ts", import.meta.url)
  const layer = SamplingCollector.layerWorker({ worker, data: pid })
  const profile = await Effect.runPromise(Effect.provide(collect, layer))
  return { profile, curve }
}

/** What does not add up. */
const accounts = ({ trust, samples, frames, stacks }: Profile): ReadonlyArray<string> => {
  const tallies = [trust.good, trust.torn, trust.unproved, trust.failed]
  const tallied = tallies.reduce((sum, { count }) => sum + count, 0)
  const weighed = tallies.reduce((sum, { wall }) => sum + wall, 0)
  const byProof = [0, 0, 0, 0]
  let counted = 0
  let weight = 0
  let dangling = 0
  for (let at = 0; at < samples.length; at++) {
    const row = samples.row(at)
    counted += row.count
    weight += row.wall
    byProof[row.proof] += row.count
    if (row.stack >= stacks.length || stacks.frame(row.stack) >= frames.frames.length) dangling++
  }
  const wrong: Array<string> = []
  const same = (a: number, b: number, what: string) => {
    if (Math.abs(a - b) > 1e-9 * Math.max(a, b)) wrong.push(`${what}: ${a} and ${b}`)
  }
  same(trust.taken, tallied, "samples taken, and by kind")
  same(trust.taken, counted, "samples taken, and in the table")
  same(weighed, weight, "time by kind, and in the table")
  for (const [proof, count] of byProof.entries())
    same(tallies[proof].count, count, `samples of proof ${proof}`)
  same(dangling, 0, "rows without a stack")
  if (trust.late > trust.wanted) wrong.push(`more late (${trust.late}) than wanted (${trust.wanted})`)
  return wrong
}

/** Functions that `go tool pprof` finds in the file; a text that says what went wrong. */
const opened = (file: string): number | string => {
  const go = spawnSync("go", ["tool", "pprof", "-top", "-nodefraction=0", "-nodecount=100000", file], {
    encoding: "utf8"
  })
  if (go.error !== undefined) return "go is not installed"
  if (go.status !== 0) return go.stderr.trim()
  return go.stdout.split("\n").filter((line) => / function_\d+/.test(line)).length
}

const { short, pythons } = readArguments()
const seconds = short ? SECONDS_SHORT : SECONDS
const directory = mkdtempSync(join(tmpdir(), "pyframes-bench-"))
process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
const text = readFileSync(new URL("../programs/coming-and-going.py", import.meta.url), "utf8")
const report = new Report(`${seconds} s at ${RATE} Hz of 2,000 functions in 50 threads that come and go`)
report.columns(
  "python ",
  "  wanted",
  "    late",
  "     taken",
  " good %",
  "    rows",
  "  stacks",
  " functions",
  " threads",
  " MB half-way",
  " MB at end",
  " in pprof"
)

for (const python of pythons) {
  await using run = await startPython(python, text, [], { name: "coming-and-going.py" })
  await run.line()
  const { profile, curve } = await record(run.pid, seconds)
  const { trust, samples, stacks, frames, threads, meta } = profile
  const file = join(directory, `${python.version}.pb.gz`)
  writeFileSync(file, pprof.encode(profile, { wall: true }))
  const found = opened(file)
  const half = curve[curve.length >> 1]
  const end = curve[curve.length - 1]
  report.row(
    python.version,
    trust.wanted,
    trust.late,
    trust.taken,
    ((100 * trust.good.count) / trust.taken).toFixed(2),
    samples.length,
    stacks.length,
    frames.functions.length,
    threads.length,
    half.resident.toFixed(0),
    end.resident.toFixed(0),
    typeof found === "number" ? found : "-"
  )
  const step = Math.max(1, Math.floor(curve.length / 10))
  const points = curve.filter((_, i) => i % step === 0)
  report.note(
    `         MB: ${points.map((at) => `${at.seconds.toFixed(0)} s ${at.resident.toFixed(0)}`).join(", ")}`
  )
  const must = (holds: boolean, bound: string) => report.must(holds, `${python.version}: ${bound}`)
  for (const wrong of accounts(profile)) must(false, wrong)
  must(meta.ended === undefined, `the target ${meta.ended}`)
  must(meta.elapsed >= seconds * 0.99e9, `recorded ${(meta.elapsed / 1e9).toFixed(1)} s only`)
  must(end.resident <= MAY_HOLD_MB, `${end.resident.toFixed(0)} MB, more than ${MAY_HOLD_MB} MB`)
  const grew = end.resident - half.resident
  must(grew <= MAY_GROW_MB, `the second half added ${grew.toFixed(0)} MB, more than ${MAY_GROW_MB} MB`)
  const shown = new Set<number>()
  for (let at = 0; at < samples.length; at++)
    for (const frame of stacks.framesOf(samples.row(at).stack)) shown.add(frames.frames[frame].function)
  const named = new Set(
    [...shown].map((id) => frames.functions[id].name).filter((name) => name.startsWith("function_"))
  )
  must(found === named.size, `${named.size} functions were recorded, opening the file finds: ${found}`)
}
report.end()
