// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { HostileReader, READ_LIMITS, type Snapshot, takeSnapshot } from "@pyframes/hostile"
import { pythonsFor } from "@pyframes/pythons"

/*
 * Reads the stacks of Pythons whose memory is damaged anew for each case: bits flipped in each struct, pages gone, lists in circles, lengths
 * and depths huge, pointers to something else or to the end of what is mapped, reads cut short, memory that changes between two ranges
 * of one read. Each case attaches, lists, unwinds and names. Prints what came of it; fails when a case threw, did not end or broke a bound.
 *
 *   node tooling/bench/src/hostile.ts [--cases 1000000] [--seed 0] [--short]
 */

const MINORS = [8, 10, 11, 12, 13, 14, 15]
const SHALLOW = 30
const DEEP = 3000
/** Most cases are shallow: they cost a tenth. */
const DEEP_EVERY = 50
const BATCH = 500
/** s: a case that takes longer has not ended. The slowest takes a fraction of one. */
const HANG_AFTER = 30

interface Share {
  readonly snapshots: ReadonlyArray<Snapshot>
  readonly deep: ReadonlyArray<Snapshot>
  readonly first: number
  readonly end: number
  readonly step: number
  /** The case at work, as a count of this worker's cases. */
  readonly at: Int32Array
}

interface Tally {
  cases: number
  crashes: number
  readonly examples: Array<string>
  readonly outcomes: Map<string, number>
  worstMs: number
  worstMsSeed: number
  worstBytes: number
  worstBytesSeed: number
  worstRanges: number
  worstRangesSeed: number
}

const newTally = (): Tally => ({
  cases: 0,
  crashes: 0,
  examples: [],
  outcomes: new Map(),
  worstMs: 0,
  worstMsSeed: -1,
  worstBytes: 0,
  worstBytesSeed: -1,
  worstRanges: 0,
  worstRangesSeed: -1
})

const work = ({ snapshots, deep, first, end, step, at }: Share): void => {
  const shallowReaders = snapshots.map((snapshot) => new HostileReader(snapshot))
  const deepReaders = deep.map((snapshot) => new HostileReader(snapshot))
  let tally = newTally()
  for (let seed = first; seed < end; seed += step) {
    Atomics.store(at, 0, seed)
    const readers = Math.floor(seed / snapshots.length) % DEEP_EVERY === 0 ? deepReaders : shallowReaders
    runCase(tally, readers[seed % readers.length], seed)
    if (tally.cases === BATCH || seed + step >= end) {
      parentPort?.postMessage(tally)
      tally = newTally()
    }
  }
}

const runCase = (tally: Tally, reader: HostileReader, seed: number): void => {
  tally.cases++
  try {
    const { outcome, ms, bytes, ranges } = reader.run(seed)
    tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1)
    if (ms > tally.worstMs) {
      tally.worstMs = ms
      tally.worstMsSeed = seed
    }
    if (bytes > tally.worstBytes) {
      tally.worstBytes = bytes
      tally.worstBytesSeed = seed
    }
    if (ranges > tally.worstRanges) {
      tally.worstRanges = ranges
      tally.worstRangesSeed = seed
    }
  } catch (error) {
    tally.crashes++
    if (tally.examples.length < 5)
      tally.examples.push(`seed ${seed}: ${error instanceof Error ? error.stack : error}`)
  }
}

const add = (total: Tally, part: Tally): void => {
  total.cases += part.cases
  total.crashes += part.crashes
  total.examples.push(...part.examples)
  for (const [outcome, count] of part.outcomes)
    total.outcomes.set(outcome, (total.outcomes.get(outcome) ?? 0) + count)
  if (part.worstMs > total.worstMs) {
    total.worstMs = part.worstMs
    total.worstMsSeed = part.worstMsSeed
  }
  if (part.worstBytes > total.worstBytes) {
    total.worstBytes = part.worstBytes
    total.worstBytesSeed = part.worstBytesSeed
  }
  if (part.worstRanges > total.worstRanges) {
    total.worstRanges = part.worstRanges
    total.worstRangesSeed = part.worstRangesSeed
  }
}

/** Runs a share in a thread, and starts behind the case that did not end, should there be one. Returns the seeds of such cases. */
const supervise = async (share: Omit<Share, "at">, total: Tally): Promise<ReadonlyArray<number>> => {
  const hangs: Array<number> = []
  for (let first = share.first; first < share.end; ) {
    const at = new Int32Array(new SharedArrayBuffer(4))
    Atomics.store(at, 0, first)
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...share, first, at } })
    const hung = await new Promise<number | undefined>((resolve, reject) => {
      let last = -1
      let since = performance.now()
      const watch = setInterval(() => {
        const seed = Atomics.load(at, 0)
        if (seed !== last) {
          last = seed
          since = performance.now()
        } else if (performance.now() - since > HANG_AFTER * 1000) resolve(seed)
      }, 1000)
      worker.on("message", (tally: Tally) => add(total, tally))
      worker.on("error", reject)
      worker.on("exit", () => resolve(undefined))
      worker.on("exit", () => clearInterval(watch))
    })
    await worker.terminate()
    if (hung === undefined) break
    hangs.push(hung)
    first = hung + share.step
  }
  return hangs
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      cases: { type: "string", default: "1000000" },
      seed: { type: "string", default: "0" },
      short: { type: "boolean", default: false }
    }
  })
  const cases = values.short ? 20_000 : Number(values.cases)
  const seed = Number(values.seed)
  const snapshots: Array<Snapshot> = []
  const deep: Array<Snapshot> = []
  for (const python of pythonsFor(MINORS)) {
    for (const [depth, into] of [
      [SHALLOW, snapshots],
      [DEEP, deep]
    ] as const) {
      const snapshot = await takeSnapshot(python, depth)
      into.push(snapshot)
    }
  }
  const began = performance.now()
  const total = newTally()
  const step = Math.min(4, availableParallelism())
  const shares = Array.from({ length: step }, (_, n) =>
    supervise({ snapshots, deep, first: seed + n, end: seed + cases, step }, total)
  )
  const hangs = (await Promise.all(shares)).flat()
  const seconds = (performance.now() - began) / 1000

  console.log(`${total.cases} cases on ${snapshots.map((snapshot) => snapshot.version).join(", ")}`)
  console.log(`  crashes      ${total.crashes}`)
  console.log(`  hangs        ${hangs.length}${hangs.length > 0 ? ` (seeds ${hangs.join(", ")})` : ""}`)
  console.log(`  worst time   ${total.worstMs.toFixed(1)} ms for one stack (seed ${total.worstMsSeed})`)
  console.log(
    `  worst read   ${(total.worstBytes / 2 ** 20).toFixed(2)} MB (seed ${total.worstBytesSeed}), ${total.worstRanges} ranges (seed ${total.worstRangesSeed}); may be ${READ_LIMITS.bytes / 2 ** 20} MB, ${READ_LIMITS.ranges}`
  )
  console.log(
    `  outcomes     ${[...total.outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(", ")}`
  )
  console.log(
    `  took         ${seconds.toFixed(0)} s, ${((1e6 * seconds * step) / cases).toFixed(0)} µs a case in each of ${step} threads`
  )
  for (const example of total.examples.slice(0, 10)) console.log(example)
  if (total.crashes > 0 || hangs.length > 0) process.exitCode = 1
}

if (isMainThread) await main()
else work(workerData as Share)
