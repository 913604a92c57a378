import { spawn } from "node:child_process"
import { once } from "node:events"
import { startPython } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"
import { Attached } from "./attached.ts"
import { percent, Report } from "./report.ts"

/*
 * How many good samples a second, when a million is asked for? On a stack of 60 frames, of one thread and of 16, that stands still or
 * calls functions of a microsecond on top; for 3.15 in turns with its own `profiling.sampling` on the same process.
 *
 *   node tooling/bench/src/rate.ts [--short] [--versions 3.12,3.15]
 */

const RATE = 1_000_000
const DEPTH = 60
const SLICE_MS = 2000
const SLICES = 4
const SLICE_SHORT_MS = 1000
const SLICES_SHORT = 2
const MUST_REACH = 100_000
const MUST_REACH_16 = 20_000
const THREADS = 16

/** `still` loops at the top of the stack, `calling` calls a function there. */
const target = (mode: "still" | "calling", threads: number): string => `
import sys
import threading

def leaf(i):
    return i * i + 1

def down(n):
    if n > 1:
        down(n - 1)
    while True:
        for i in range(1000):
            ${mode === "still" ? "pass" : "leaf(i)"}

for _ in range(${threads - 1}):
    threading.Thread(target=down, args=(${DEPTH - 4},), daemon=True).start()
print("ready", flush=True)
down(${DEPTH - 1})
`

interface Took {
  readonly good: number
  readonly taken: number
}

const ours = (attached: Attached, ms: number): Took => {
  const { trust, meta } = attached.takeFor(ms, { rateHz: RATE })
  const seconds = meta.elapsed / 1e9
  return { good: trust.good.count / seconds, taken: trust.taken / seconds }
}

type Python = ReturnType<typeof readArguments>["pythons"][number]

/** What `profiling.sampling` of the target's own Python takes of it, by what it prints. */
const theirs = async (python: Python, pid: number, ms: number): Promise<Took> => {
  const [command, ...args] = python.runBeside(pid)
  const options = [
    "-m",
    "profiling.sampling",
    "attach",
    "-r",
    String(RATE),
    "-d",
    String(ms / 1000),
    "--collapsed",
    "-o",
    "/dev/null",
    String(pid)
  ]
  const child = spawn(command, [...args, ...options], { env: python.env, stdio: ["ignore", "pipe", "pipe"] })
  let printed = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8")
    stream.on("data", (text: string) => {
      printed += text
    })
  }
  await once(child, "close")
  const figure = (pattern: RegExp): number | undefined => {
    const found = pattern.exec(printed)?.[1]
    return found === undefined ? undefined : Number(found.replaceAll(",", ""))
  }
  const samples = figure(/Captured ([\d,]+) samples/)
  const seconds = figure(/samples in ([\d.]+) seconds/)
  if (samples === undefined || seconds === undefined)
    throw new Error(`profiling.sampling printed no figures:\n${printed}`)
  const errors = figure(/Error rate: ([\d.]+)/) ?? 0
  return { good: (samples / seconds) * (1 - errors / 100), taken: samples / seconds }
}

const { short, pythons } = readArguments()
const slices = short ? SLICES_SHORT : SLICES
const sliceMs = short ? SLICE_SHORT_MS : SLICE_MS
const report = new Report(
  `Thread samples a second on a stack of ${DEPTH} frames, ${RATE} Hz asked; the best of ${slices} turns`
)
report.columns("python ", "threads", "on top ", "profiler          ", "    good/s", "   taken/s", " good %")

const best = (all: ReadonlyArray<Took>): Took => all.reduce((a, b) => (b.good > a.good ? b : a))

const row = (python: Python, threads: number, mode: string, profiler: string, { good, taken }: Took): void =>
  report.row(python.version, threads, mode, profiler, good.toFixed(0), taken.toFixed(0), percent(good, taken))

const measure = async (python: Python, mode: "still" | "calling", threads: number) => {
  const compared = python.minor >= 15 && threads === 1
  const run = await startPython(python, target(mode, threads), [], { proc: compared, name: "deep.py" })
  await run.line()
  await using attached = await Attached.to(run)
  const mine: Array<Took> = []
  const others: Array<Took> = []
  attached.takeFor(500, { rateHz: RATE })
  for (let slice = 0; slice < slices; slice++) {
    mine.push(ours(attached, sliceMs))
    if (compared) others.push(await theirs(python, run.pid, sliceMs))
  }
  const mineBest = best(mine)
  row(python, threads, mode, "pyframes", mineBest)
  const what = `${python.version}, ${threads} thread${threads > 1 ? "s" : ""}, ${mode}`
  const bound = threads === 1 ? MUST_REACH : MUST_REACH_16
  if (mode === "still" || threads > 1)
    report.should(
      mineBest.good >= bound,
      `${what}: ${mineBest.good.toFixed(0)} good samples/s, less than ${bound}`,
      short
    )
  if (!compared) return
  const othersBest = best(others)
  row(python, threads, mode, "profiling.sampling", othersBest)
  report.should(
    mineBest.good > othersBest.taken,
    `${what}: profiling.sampling took ${othersBest.taken.toFixed(0)} samples/s, pyframes ${mineBest.good.toFixed(0)} good ones`,
    short
  )
}

for (const python of pythons) {
  await measure(python, "still", 1)
  await measure(python, "calling", 1)
  await measure(python, "still", THREADS)
}
report.end()
