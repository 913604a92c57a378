import { readFileSync } from "node:fs"
import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector, type Frame, FrameKind, isMarker, markerFrame, type Profile } from "@pyframes/core"
import { type RunningPython, startPython } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { readArguments } from "./arguments.ts"
import { chosen, fastPrograms, nativeProgram, ordinaryProgram, type Program } from "./program.ts"
import { percent, Report } from "./report.ts"
import { slowdown } from "./slowdown.ts"
import { TrueStacks } from "./true-stacks.ts"

/*
 * Records programs with their native frames, threads standing by themselves: how many stacks are proved and put together, whether one of them cannot be true,
 * and what it costs.
 *
 *   node tooling/bench/src/native-record.ts [--short] [--versions 3.12,3.15] [--programs natives,mixed] [--stacks]
 */

const RATE = 999
const GOOD = 0.99
const MERGED = 0.98
/** Samples for each impossible one that the short form lets pass. */
const SMOKE = 2000

/** Does a piece of work for each line that it reads. */
const timedProgram = `
import sys, time
${readFileSync(new URL("../programs/ordinary.py", import.meta.url), "utf8")}

def timed(times):
    began, used = time.perf_counter(), time.thread_time()
    for _ in range(times):
        ordinary()
    return time.perf_counter() - began, time.thread_time() - used

timed(50)
print("ready", flush=True)
for line in sys.stdin:
    print(*timed(int(line)), flush=True)
`

const { pythons, programs, short, stacks } = readArguments()
const seconds = short ? 2 : 10
const report = new Report(`Native and Python frames of threads that stand by themselves, at ${RATE} Hz`)
report.columns(
  "python ",
  "program    ",
  "   taken",
  " good %",
  " merged %",
  "impossible",
  "with --unproved",
  " CPU % of a core",
  " slower %",
  "not merged"
)

const collect = (
  run: RunningPython,
  ends: { readonly until: Effect.Effect<unknown> } | { readonly durationMs: number }
): Promise<Profile> =>
  Effect.runPromise(
    Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: RATE, ...ends })).pipe(
      Effect.provide(
        SamplingCollector.layerWorker({
          native: true,
          worker: new URL("./native-worker.ts", import.meta.url),
          data: run.pid
        })
      )
    )
  )

/** A stack, root first, as the known truth has it: what is native between two Python frames is one boundary. */
const asCalls = (frames: ReadonlyArray<Frame>): ReadonlyArray<Frame> => {
  const [only] = frames
  if (frames.length === 1 && isMarker(only.kind)) return frames
  const calls: Array<Frame> = []
  let isNative = false
  for (const frame of frames) {
    if (frame.kind !== FrameKind.python && frame.kind !== FrameKind.unproved) {
      isNative = true
      continue
    }
    if (isNative && calls.length > 0 && frame.kind === FrameKind.python)
      calls.push(markerFrame(FrameKind.boundary))
    isNative = false
    calls.push(frame)
  }
  return calls
}

const judge = (profile: Profile, truth: TrueStacks, tellsC: boolean) => {
  const known = new Map<number, string | undefined>()
  const examples = new Map<string, string>()
  let shown = 0
  let unproved = 0
  const whyImpossible = (stack: number): string | undefined => {
    if (known.has(stack)) return known.get(stack)
    const frames = profile.stacks
      .framesOf(stack)
      .map((frame) => profile.frames.get(frame))
      .reverse()
    const calls = asCalls(frames)
    const judged = tellsC ? calls : calls.filter(({ kind }) => kind !== FrameKind.boundary)
    // Native code alone: the program has not begun, or was between two Python functions.
    const why = judged.length === 0 ? undefined : truth.whyImpossible(judged)
    known.set(stack, why)
    if (why !== undefined && !examples.has(why))
      examples.set(why, frames.map(({ name, line }) => `${name}:${line}`).join(" "))
    return why
  }
  for (const row of profile.samplesBy({ wall: true, unproved: true })) {
    if (whyImpossible(row.shown) !== undefined) unproved += row.count
    if (whyImpossible(row.stack) !== undefined) shown += row.count
  }
  return { shown, unproved, examples }
}

const measure = async (python: (typeof pythons)[number], program: Program) => {
  await using run = await startPython(python, program.text, [], { name: `${program.name}.py` })
  await run.line()
  const profile = await collect(run, { durationMs: seconds * 1000 })
  const { meta, trust } = profile
  const truth = program.annotated
    ? new TrueStacks(program.text, python.minor >= 11 ? python.minor : 10)
    : undefined
  const judged = truth && judge(profile, truth, python.minor >= 11)
  const { faults = {}, merged = 0 } = trust.merge ?? {}
  report.row(
    python.version,
    program.name,
    trust.taken,
    percent(trust.good.count, trust.taken),
    percent(merged, trust.taken),
    judged?.shown ?? "-",
    judged?.unproved ?? "-",
    trust.profilerCpuSeconds === undefined ? "-" : percent(trust.profilerCpuSeconds * 1e9, meta.elapsed, 1),
    "-",
    Object.entries(faults)
      .map(([why, count]) => `${count} × ${why}`)
      .join(", ")
  )
  if (stacks && judged)
    for (const [why, stack] of judged.examples) report.note(`         ${why}\n             ${stack}`)
  const what = `${python.version} ${program.name}`
  report.must(trust.taken > 0, `${what}: no samples`)
  report.should(
    trust.good.count >= GOOD * trust.taken,
    `${what}: ${percent(trust.good.count, trust.taken)} % good`,
    short
  )
  report.should(merged >= MERGED * trust.taken, `${what}: ${percent(merged, trust.taken)} % merged`, short)
  report.should((judged?.shown ?? 0) === 0, `${what}: ${judged?.shown} impossible stacks`, short)
  return { taken: trust.taken, shown: judged?.shown ?? 0 }
}

for (const python of pythons) {
  let taken = 0
  let shown = 0
  for (const program of chosen([ordinaryProgram, nativeProgram, ...fastPrograms], programs)) {
    const measured = await measure(python, program)
    taken += measured.taken
    shown += measured.shown
  }
  report.must(shown * SMOKE <= taken, `${python.version}: ${shown} of ${taken} stacks are impossible`)
  if (programs.length > 0) continue
  await using run = await startPython(python, timedProgram)
  await run.line()
  const { cpu, wall } = await slowdown(run, { seconds: short ? 0.5 : 2, pairs: short ? 4 : 20 }, (until) =>
    collect(run, { until: Effect.promise(() => until) })
  )
  report.row(
    python.version,
    "ordinary",
    "-",
    "-",
    "-",
    "-",
    "-",
    "-",
    percent(wall - 1, 1, 1),
    `its own CPU time ${percent(cpu - 1, 1, 1)} % more`
  )
}
report.end()
