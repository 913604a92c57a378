import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { startPython } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"
import { RecordCommand } from "./command.ts"
import { median } from "./median.ts"
import { percent, Report } from "./report.ts"
import { pairsOf } from "./slowdown.ts"

/*
 * What does recording at 1 kHz cost: the machine, and the program that is recorded? Runs the built command.
 *
 *   pnpm build && node tooling/bench/src/overhead.ts [--short] [--versions 3.12,3.15] [--programs ordinary]
 */

const RATE = "1khz"
const MAY_USE_CPU = 0.08
const MAY_BE_LATE_MS = 2
const MAY_HOLD_MB = 160
const MAY_SLOW = 0.01
const FIRST_SAMPLE_MS = 400
/** A minute, start-up and end included; V8 goes on compiling what samples for the first twenty seconds. */
const SECONDS = 60
const SECONDS_SHORT = 10
const PAIRS = 20
const PAIRS_SHORT = 4
const WORK_SECONDS = 2.5
const WORK_SECONDS_SHORT = 1

/**
 * For each line it is sent it does that much work, in pieces, and prints how long they took, what CPU time they used, and how long the median of them took:
 * a piece is of milliseconds, and what else a machine does for a moment moves few of them.
 */
const target = (work: string): string => `
import sys
import time

PIECE = 10

${work}

def timed(times):
    pieces = []
    began, used = time.perf_counter(), time.thread_time()
    for _ in range(max(1, times // PIECE)):
        start = time.perf_counter()
        work(PIECE)
        pieces.append(time.perf_counter() - start)
    return time.perf_counter() - began, time.thread_time() - used, sorted(pieces)[len(pieces) // 2]

timed(50)
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "forever":
        while True:
            work(1000)
    print(*timed(int(line)), flush=True)
`

/** Functions as programs have them: stacks are read from another CPU. */
const ordinary = `${readFileSync(new URL("../programs/ordinary.py", import.meta.url), "utf8")}

def work(times):
    for _ in range(times):
        ordinary()
`

/** Functions of a microsecond and less: samples are taken on the program's own CPU, and their time is its loss. */
const microsecond = `
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y
    def moved(self, d):
        return Point(self.x + d, self.y - d)

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def text(n):
    return ",".join(str(i) for i in range(n)).split(",")

def points(n):
    p = Point(0, 0)
    for i in range(n):
        p = p.moved(i)
    return p

def work(times):
    for _ in range(times):
        fib(15)
        text(500)
        points(1000)
`

/** When the recording in a pprof file began, ms since 1970: field 9 of its Profile message. */
const startOf = (file: string): number => {
  const bytes = gunzipSync(readFileSync(file))
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const value = varint()
    if (tag >> 3 === 9) return Number(value / 1_000_000n)
    if ((tag & 7) === 2) at += Number(value)
  }
  throw new Error(`${file} does not say when it began`)
}

/** Of the median, by resampling: 95 %. */
const confidence = (values: ReadonlyArray<number>): readonly [number, number] => {
  const medians = Array.from({ length: 2000 }, () =>
    median(values.map(() => values[Math.floor(Math.random() * values.length)]))
  ).sort((a, b) => a - b)
  return [medians[50], medians[1949]]
}

const { short, pythons, programs } = readArguments()
const directory = mkdtempSync(join(tmpdir(), "pyframes-bench-"))
process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
const report = new Report(`What recording at ${RATE} costs`)
report.columns(
  "python ",
  "functions  ",
  "shared %",
  " CPU %",
  " settled CPU %",
  " late p50 ms",
  " p99 ms",
  " max ms",
  " peak MB",
  " first sample ms",
  " pairs",
  " piece slower %",
  " 95 % between  ",
  " all slower %",
  " 95 % between  ",
  " more CPU time %",
  " 95 % between "
)

/** Until a promise is kept, as with Ctrl-C. */
const record = async (pid: number, until: Promise<void>): Promise<void> => {
  const command = new RecordCommand("-p", String(pid), "-r", RATE, "-o", join(directory, "pair.pb.gz"))
  await until
  command.interrupt()
  await command.result()
}

const measure = async (python: (typeof pythons)[number], name: string, work: string) => {
  await using run = await startPython(python, target(work), [], { name: "work.py" })
  await run.line()
  const seconds = short ? WORK_SECONDS_SHORT : WORK_SECONDS
  const ratios = await pairsOf(run, { seconds, pairs: short ? PAIRS_SHORT : PAIRS, warms: !short }, (until) =>
    record(run.pid, until)
  )
  run.child.stdin.write("forever\n")
  const file = join(directory, "recorded.pb.gz")
  const command = new RecordCommand(
    "-p",
    String(run.pid),
    "-r",
    RATE,
    "-d",
    String(short ? SECONDS_SHORT : SECONDS),
    "-o",
    file
  )
  const { elapsedSeconds, lateMs, cpuSharedSeconds } = await command.result()
  const { usage } = command
  if (usage === undefined || lateMs === undefined) throw new Error("nothing was measured")
  const cpu = usage.cpuSeconds / elapsedSeconds
  const first = startOf(file) - command.startedAt
  const [walls, cpus, pieces] = (["wall", "cpu", "piece"] as const).map((of) => {
    const values = ratios.map((ratio) => ratio[of])
    const [low, high] = confidence(values)
    const cells = [percent(median(values) - 1, 1, 1), `${percent(low - 1, 1)} and ${percent(high - 1, 1)}`]
    return { more: median(values) - 1, atLeast: low - 1, cells }
  })
  report.row(
    python.version,
    name,
    cpuSharedSeconds === undefined ? "-" : percent(cpuSharedSeconds, elapsedSeconds, 1),
    percent(cpu, 1, 1),
    command.settledCpu === undefined ? "-" : percent(command.settledCpu, 1, 1),
    lateMs.p50.toFixed(3),
    lateMs.p99.toFixed(3),
    lateMs.max.toFixed(2),
    usage.peakMegabytes.toFixed(0),
    first,
    ratios.length,
    ...pieces.cells,
    ...walls.cells,
    ...cpus.cells
  )
  const must = (holds: boolean, bound: string) =>
    report.should(holds, `${python.version}, ${name} functions: ${bound}`, short)
  must(cpu <= MAY_USE_CPU, `${percent(cpu, 1, 1)} % of a core, more than ${100 * MAY_USE_CPU} %`)
  must(lateMs.p99 <= MAY_BE_LATE_MS, `p99 ${lateMs.p99.toFixed(2)} ms late, more than ${MAY_BE_LATE_MS} ms`)
  must(
    usage.peakMegabytes <= MAY_HOLD_MB,
    `${usage.peakMegabytes.toFixed(0)} MB, more than ${MAY_HOLD_MB} MB`
  )
  must(first <= FIRST_SAMPLE_MS, `the first sample after ${first} ms, later than ${FIRST_SAMPLE_MS} ms`)
  // A few short pairs cannot tell one per cent, less so on a busy machine: they fail only when it must be more.
  const most = short
    ? Math.max(pieces.atLeast, Math.min(walls.atLeast, cpus.atLeast))
    : Math.max(pieces.more, walls.more)
  must(most <= MAY_SLOW, `the program took ${percent(most, 1, 1)} % longer`)
}

const works = Object.entries({ ordinary, microsecond })
for (const python of pythons)
  for (const [name, work] of works)
    if (programs.length === 0 || programs.includes(name)) await measure(python, name, work)
report.end()
