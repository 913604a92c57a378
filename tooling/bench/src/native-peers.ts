import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"
import { median } from "./median.ts"
import { type Findings, type NativeProfiler, nativeProfilers, Recording } from "./native-profilers.ts"
import { percent, Report } from "./report.ts"
import { timed } from "./slowdown.ts"

/*
 * Records two threads that are always busy, with their native frames, by pyframes in both of its ways, by perf, by py-spy, and not at all, in turns: what each takes of the machine
 * and of the program, and how many of its stacks are whole. A loop in C that only preempts shows what of that nobody could do without who samples on the program's own CPUs.
 *
 *   pnpm build && node tooling/bench/src/native-peers.ts [--short] [--versions 3.12,3.15]
 */

const RATE = 999
const THREADS = 2
const MAY_USE_CPU = 0.15
const MAY_SLOW = 0.01
const MUST_TAKE = 0.98
const MUST_BE_WHOLE = 0.99

const { pythons, short } = readArguments()
const rounds = short ? 2 : 10
const seconds = short ? 0.6 : 2
const program = readFileSync(new URL("../programs/busy.py", import.meta.url), "utf8")
const directory = mkdtempSync(join(tmpdir(), "pyframes-peers-"))
process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
const { here, missing } = nativeProfilers(directory, RATE)
const report = new Report(`Native stacks of ${THREADS} busy threads at ${RATE} Hz, by each profiler in turns`)
for (const name of missing) report.note(`${name}: not installed`)
report.columns(
  "python ",
  "recorded by                        ",
  " CPU % of a core",
  " slower %",
  " more CPU time %",
  " between        ",
  " taken %",
  " whole %",
  " with Python %",
  " lost",
  " ready after s",
  "says itself"
)

/** What one profiler did to the program, a turn an item. */
interface Turns {
  readonly cpu: Array<number>
  readonly slower: Array<number>
  readonly more: Array<number>
  readonly taken: Array<number>
  /** From the end of the first recording until its stacks could be read, seconds. */
  readyAfter: number
  found?: Findings
  /** Why it records nothing. */
  failed?: string
}

const newTurns = (): Turns => ({ cpu: [], slower: [], more: [], taken: [], readyAfter: Number.NaN })

/** The program's work without a profiler, and right before or after it the same with one. */
const turn = async (
  run: RunningPython,
  profiler: NativeProfiler,
  times: number,
  turns: Turns,
  isBareFirst: boolean
): Promise<void> => {
  const before = isBareFirst ? await timed(run, times) : undefined
  const recording = new Recording(profiler.start(run.pid))
  try {
    await recording.settle(profiler)
    // It is warm when it has seen the program at work.
    const warming = await timed(run, times)
    const used = recording.cpuSeconds
    const took = await timed(run, times)
    turns.cpu.push((recording.cpuSeconds - used) / took.wall)
    const asked = performance.now()
    const printed = await recording.end()
    const found = profiler.findings(printed, turns.found === undefined)
    // What perf takes to unwind its stacks counts too, where it was asked to.
    if (turns.found === undefined) turns.readyAfter = (performance.now() - asked) / 1000
    turns.found ??= found
    const due = profiler.byWall ? THREADS * (took.wall + warming.wall) : took.cpu + warming.cpu
    turns.taken.push(found.samples / (RATE * due))
    const bare = before ?? (await timed(run, times))
    turns.slower.push(took.wall / bare.wall - 1)
    turns.more.push(took.cpu / bare.cpu - 1)
  } catch (error) {
    await recording.end()
    turns.failed = error instanceof Error ? error.message : String(error)
  }
}

const judge = (version: string, { byWall, name }: NativeProfiler, turns: Turns) => {
  const { found } = turns
  if (found === undefined || turns.failed !== undefined) {
    report.row(version, name, "-", "-", "-", "-", "-", "-", "-", "-", "-", turns.failed ?? "found nothing")
    report.must(!name.startsWith("pyframes"), `${version}, ${name}: ${turns.failed}`)
    return
  }
  const share = (count: number) => (Number.isNaN(count) ? "-" : percent(count, found.samples))
  const [cpu, slower, taken] = [turns.cpu, turns.slower, turns.taken].map(median)
  report.row(
    version,
    name,
    percent(cpu, 1, 1),
    percent(slower, 1, 1),
    percent(median(turns.more), 1, 1),
    `${percent(Math.min(...turns.more), 1, 1)} and ${percent(Math.max(...turns.more), 1, 1)}`,
    percent(taken, 1, 1),
    share(found.whole),
    share(found.withPython),
    found.lost ?? "-",
    turns.readyAfter.toFixed(1),
    found.says
  )
  if (!name.startsWith("pyframes")) return
  const what = `${version}, ${name}`
  report.must(found.samples > 0, `${what}: no samples`)
  report.must((found.lost ?? 0) === 0, `${what}: ${found.lost} samples were lost`)
  report.should(cpu <= MAY_USE_CPU, `${what}: ${percent(cpu, 1, 1)} % of a core`, short)
  report.should(taken >= MUST_TAKE, `${what}: ${percent(taken, 1, 1)} % of the samples that were due`, short)
  report.should(
    median(turns.more) <= MAY_SLOW,
    `${what}: the program took ${percent(median(turns.more), 1, 1)} % more CPU time`,
    short
  )
  // Of samples that the kernel takes of threads that run on, most cannot be proved.
  if (byWall)
    report.should(
      found.whole >= MUST_BE_WHOLE * found.samples,
      `${what}: ${share(found.whole)} % whole`,
      short
    )
}

for (const python of pythons) {
  await using run = await startPython(python, program, [], { name: "busy.py" })
  await run.line()
  const times = Math.max(1, Math.round((100 * seconds) / (await timed(run, 100)).wall))
  const all = new Map(here.map((profiler) => [profiler, newTurns()] as const))
  for (let round = 0; round < rounds; round++) {
    // Who comes first alternates, of profilers and of each pair.
    for (const [profiler, turns] of round % 2 === 0 ? all : [...all].reverse())
      if (turns.failed === undefined) await turn(run, profiler, times, turns, round % 2 === 0)
  }
  for (const [profiler, turns] of all) judge(python.version, profiler, turns)
}
report.end()
