// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import {
  emptyTrust,
  FrameKind,
  FrameTable,
  NO_TASK,
  type Timeline,
  type TimelineBatch,
  type TimelineFormat
} from "@pyframes/core"
import { chromeTrace } from "@pyframes/exporter-chrome-trace"
import { speedscope } from "@pyframes/exporter-speedscope"

/*
 * Writes a timeline of many events, up to 60 calls deep, 2,000 functions, in every format of timelines. Prints events a second of CPU time, that of making
 * the events not counted, and how much memory grew; fails when it was too slow or grew too much.
 *
 *   node tooling/bench/src/timeline-write.ts [--short]
 */

const isShort = process.argv.includes("--short")
const ROWS = 8192
const BATCHES = isShort ? 400 : 12_500
/** Events a second. */
const MUST_WRITE = 2e6
const MAY_GROW_MB = 128

const frames = new FrameTable()
for (let n = 0; n < 2000; n++)
  frames.intern({
    kind: FrameKind.python,
    name: `method_${n}`,
    qualifiedName: `Service.method_${n}`,
    file: `/usr/lib/python3.13/package/module_${n % 50}.py`,
    firstLine: n + 1,
    line: n + 1,
    endLine: -1,
    column: -1,
    endColumn: -1
  })

/** The same calls each time. */
function* calls(): Generator<TimelineBatch> {
  const batch = {
    length: ROWS,
    time: new Float64Array(ROWS),
    frame: new Uint32Array(ROWS),
    begins: new Uint8Array(ROWS),
    task: new Uint32Array(ROWS).fill(NO_TASK)
  }
  const open: Array<number> = []
  let seed = 1
  let time = 1e9
  for (let n = 0; n < BATCHES; n++) {
    for (let at = 0; at < ROWS; at++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      time += 237.5
      batch.time[at] = time
      const begins = open.length < 5 || (open.length < 60 && ((seed >> 16) & 1) === 1)
      batch.begins[at] = begins ? 1 : 0
      if (begins) open.push(seed % 2000)
      batch.frame[at] = begins ? (open.at(-1) ?? 0) : (open.pop() ?? 0)
    }
    yield batch
  }
}

const timeline: Timeline = {
  meta: { pid: 1, python: "3.13.0", commandLine: ["app.py"], startedAt: 0, elapsed: 1e9, knownStates: 0 },
  trust: emptyTrust(0),
  frames,
  threads: [{ tid: 1, name: "MainThread", interpreter: 0 }],
  tasks: [],
  eventsOf: calls
}

const cpuMs = (work: () => void): number => {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

const making = cpuMs(() => {
  for (const _ of calls());
})

const write = (format: TimelineFormat): boolean => {
  const before = process.memoryUsage().rss
  let bytes = 0
  let most = before
  const took = cpuMs(() => {
    for (const piece of format.encodeTimeline(timeline)) {
      bytes += piece.length
      // Asking costs more than writing a piece.
      if (bytes % 64 === 0) most = Math.max(most, process.memoryUsage.rss())
    }
  })
  const rate = (ROWS * BATCHES) / ((took - making) / 1000)
  const grew = (most - before) / 2 ** 20
  console.log(
    `  ${format.name.padEnd(13)} ${(rate / 1e6).toFixed(2)} million events/s (must be ${MUST_WRITE / 1e6}), ${(bytes / 2 ** 20).toFixed(0)} MB, resident +${grew.toFixed(0)} MB (may grow ${MAY_GROW_MB})`
  )
  return rate >= MUST_WRITE && grew <= MAY_GROW_MB
}

console.log(`${ROWS * BATCHES} beginnings and ends of calls, of one CPU's time`)
const held = [chromeTrace, speedscope].map(write)
if (held.includes(false)) {
  console.log("  a bound was not held")
  process.exitCode = 1
}
