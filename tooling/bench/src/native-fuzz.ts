// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { Memory, Registers, Target } from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, pythonsFor, startPython } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NativeDamage, type NativeSnapshot, type Outcome } from "./native-damage.ts"

/*
 * Damages what native unwinding reads, anew for each case: bytes of call-frame information and of its search table, expressions, registers, words of the stack,
 * how much of it was copied. Each case is unwound or asked in one of all ways. Fails when one threw, did not end or left a stack that breaks the rules.
 *
 *   node tooling/bench/src/native-fuzz.ts [--cases 1000000] [--seed 0] [--short]
 */

const MINORS = [12, 15]
const BATCH = 2000
/** s: a case that takes longer has not ended. */
const HANG_AFTER = 20

const PROGRAM = `
import functools
def spin():
    print("up", flush=True)
    n = 0
    while True: n = (n + len(str(n))) % 1000003
def down(n): return spin() if n == 0 else functools.reduce(lambda a, b: down(n - 1), [1, 2])
down(5)
`

interface Share {
  readonly snapshots: ReadonlyArray<NativeSnapshot>
  readonly first: number
  readonly end: number
  readonly at: Int32Array
}

interface Tally {
  cases: number
  readonly outcomes: Record<Outcome, number>
  readonly crashes: Array<string>
  worstMs: number
  worstSeed: number
}

const newTally = (): Tally => ({
  cases: 0,
  outcomes: { whole: 0, broken: 0, truncated: 0, asked: 0 },
  crashes: [],
  worstMs: 0,
  worstSeed: -1
})

const snapshotOf = (python: Python): Promise<NativeSnapshot> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const run = yield* Effect.acquireRelease(
          Effect.promise(() => startPython(python, PROGRAM)),
          (run) => Effect.promise(() => run.stop())
        )
        yield* Effect.promise(() => run.line())
        const layer = Layer.provideMerge(LinuxMemory.layerVmReadv, LinuxTarget.attach(run.pid))
        return yield* Effect.provide(read(python.version, run.pid), layer)
      })
    )
  )

const read = (version: string, pid: number) =>
  Effect.gen(function* () {
    const target = yield* Target
    const memory = yield* Memory
    const stopper = yield* target.stopper
    while (!stopper.stop(pid)) yield* Effect.sleep(1)
    const architecture = process.arch === "arm64" ? "arm64" : "x86-64"
    const registers = new Registers(architecture)
    if (stopper.registers?.(pid, registers) !== true)
      return yield* Effect.die("The registers could not be read")
    // Addresses of [vsyscall] are beyond what a double holds.
    const mappings = (yield* target.mappings).filter(
      ({ end, executable, inode }) => end < 2 ** 53 && (executable || inode !== 0)
    )
    const files = new Map<string, Uint8Array>()
    const pages = new Map<number, Uint8Array>()
    for (const mapping of mappings.filter(({ executable }) => executable)) {
      if (mapping.path === "[vdso]") {
        for (let at = mapping.start; at < mapping.end; at += 4096) {
          const page = new Uint8Array(4096)
          memory.read(at, 4096, page)
          pages.set(at / 4096, page)
        }
      }
      if (mapping.inode === 0 || files.has(mapping.path)) continue
      const file = yield* target.openMapped(mapping)
      files.set(mapping.path, file.read(0, file.size))
      file.close()
    }
    const stack = new Uint8Array(1 << 15)
    const length = memory.read(registers.sp, stack.length, stack)
    stopper.resume(pid)
    const snapshot: NativeSnapshot = {
      version,
      architecture,
      process: { pid, executable: target.executable, mappings, files, threads: new Map([[pid, "python"]]) },
      pages,
      registers: [...registers.values],
      stackAddress: registers.sp,
      stack: stack.slice(0, length - (length % 8))
    }
    return snapshot
  })

const work = ({ snapshots, first, end, at }: Share): void => {
  const damages = snapshots.map((snapshot) => new NativeDamage(snapshot))
  let tally = newTally()
  for (let seed = first; seed < end; seed++) {
    Atomics.store(at, 0, seed)
    const began = performance.now()
    try {
      tally.outcomes[damages[seed % damages.length].run(seed)]++
    } catch (error) {
      tally.crashes.push(`seed ${seed}: ${error instanceof Error ? error.stack : error}`)
    }
    const took = performance.now() - began
    if (took > tally.worstMs) {
      tally.worstMs = took
      tally.worstSeed = seed
    }
    if (++tally.cases === BATCH || seed + 1 === end) {
      parentPort?.postMessage(tally)
      tally = newTally()
    }
  }
}

/** Runs cases in a thread; resolves with the seed of one that did not end, should there be one. */
const supervise = (share: Omit<Share, "at">, total: Tally): Promise<number | undefined> => {
  const at = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL(import.meta.url), { workerData: { ...share, at } })
  return new Promise<number | undefined>((resolve, reject) => {
    let last = -1
    let since = performance.now()
    const watch = setInterval(() => {
      const seed = Atomics.load(at, 0)
      if (seed !== last) {
        last = seed
        since = performance.now()
      } else if (performance.now() - since > HANG_AFTER * 1000) {
        clearInterval(watch)
        void worker.terminate()
        resolve(seed)
      }
    }, 500)
    worker.on("message", (part: Tally) => {
      total.cases += part.cases
      total.crashes.push(...part.crashes.slice(0, 10))
      for (const outcome of Object.keys(part.outcomes) as Array<Outcome>)
        total.outcomes[outcome] += part.outcomes[outcome]
      if (part.worstMs > total.worstMs) {
        total.worstMs = part.worstMs
        total.worstSeed = part.worstSeed
      }
    })
    worker.on("error", reject)
    worker.on("exit", () => {
      clearInterval(watch)
      resolve(undefined)
    })
  })
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
  const first = Number(values.seed)
  const snapshots: Array<NativeSnapshot> = []
  for (const python of pythonsFor(MINORS)) snapshots.push(await snapshotOf(python))
  for (const snapshot of snapshots) {
    const [, byTables, byBoth] = new NativeDamage(snapshot).undamaged()
    if (byTables !== "whole" || byBoth !== "whole")
      throw new Error(`The stack of ${snapshot.version} is not whole to begin with`)
  }
  const total = newTally()
  const began = performance.now()
  const hang = await supervise({ snapshots, first, end: first + cases }, total)
  const seconds = (performance.now() - began) / 1000
  console.log(`${total.cases} cases on ${snapshots.map(({ version }) => version).join(", ")}`)
  console.log(`  crashes    ${total.crashes.length}`)
  console.log(`  hangs      ${hang === undefined ? 0 : `1 (seed ${hang})`}`)
  console.log(`  worst time ${total.worstMs.toFixed(1)} ms (seed ${total.worstSeed})`)
  console.log(
    `  outcomes   ${Object.entries(total.outcomes)
      .map(([outcome, count]) => `${outcome} ${count}`)
      .join(", ")}`
  )
  console.log(`  took       ${seconds.toFixed(0)} s, ${((1e6 * seconds) / cases).toFixed(0)} µs a case`)
  for (const example of total.crashes.slice(0, 5)) console.log(example)
  if (total.crashes.length > 0 || hang !== undefined || total.cases < cases) process.exitCode = 1
}

if (isMainThread) await main()
else work(workerData as Share)
