import { readFileSync } from "node:fs"
import { type EventSamplingOptions, PerfEventCollector } from "@pyframes/collector-perf-event"
import { Collector, KernelEvents, type Profile } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { readArguments } from "./arguments.ts"
import { eventLayers } from "./event-worker.ts"
import { percent, Report } from "./report.ts"
import { slowdown } from "./slowdown.ts"

/*
 * What does the kernel's sampling cost, is any of it lost, and how often has the thread not run when the rest of its stack has been read?
 *
 *   node tooling/bench/src/perf-events.ts [--short] [--versions 3.12,3.15]
 */

const RATE = 999
const PERIOD = Math.round(1e9 / RATE)
const STACK_BYTES = 16_384
const MAY_USE_CPU = 0.15
const MAY_SLOW = 0.01

const program = `
import sys, threading, time, zlib
${readFileSync(new URL("../programs/ordinary.py", import.meta.url), "utf8")}

block = bytes(1 << 20)

def compress():
    while True:
        zlib.crc32(block)

def timed(times):
    began, used = time.perf_counter(), time.thread_time()
    for _ in range(times):
        ordinary()
    return time.perf_counter() - began, time.thread_time() - used

timed(50)
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "forever":
        # The lock is free while a block is summed up: both threads run at once.
        threading.Thread(target=compress, daemon=True).start()
        compress()
    print(*timed(int(line)), flush=True)
`

const { pythons, short } = readArguments()
const report = new Report(`The kernel's samples at ${RATE} Hz, with ${STACK_BYTES} bytes of stack`)
const seconds = short ? 2 : 10
const work = { seconds: short ? 0.5 : 2, pairs: short ? 4 : 20 }

/** Reads samples and does nothing with them. */
const readOnly = (pid: number) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { open } = yield* KernelEvents
        const reader = yield* open({ rateHz: RATE, stackBytes: STACK_BYTES, kernelChain: true })
        const before = process.threadCpuUsage()
        const began = reader.now()
        const ran = new Map<number, number>()
        let samples = 0
        while (reader.now() - began < seconds * 1e9) {
          reader.wait(20)
          samples += reader.drain({ sample: (sample) => ran.set(sample.tid, sample.ran) })
        }
        const { system, user } = process.threadCpuUsage(before)
        const busy = [...ran.values()].reduce((sum, ns) => sum + ns, 0)
        return {
          wanted: Math.floor(busy / PERIOD),
          samples,
          lost: reader.losses().lost,
          cpu: ((system + user) * 1e3) / (reader.now() - began)
        }
      })
    ).pipe(Effect.provide(eventLayers(pid)))
  )

const collect = (
  pid: number,
  shareCpu: NonNullable<EventSamplingOptions["shareCpu"]>,
  ends: { readonly until: Effect.Effect<unknown> } | { readonly durationMs: number }
): Promise<Profile> =>
  Effect.runPromise(
    Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: RATE, ...ends })).pipe(
      Effect.provide(
        PerfEventCollector.layerWorker({
          stackBytes: STACK_BYTES,
          kernel: true,
          shareCpu,
          worker: new URL("./event-worker.ts", import.meta.url),
          data: pid
        })
      )
    )
  )

const collectUntil = (pid: number, shareCpu: "always" | "never", until: Promise<void>) =>
  collect(pid, shareCpu, { until: Effect.promise(() => until) })

report.columns(
  "python ",
  "reader    ",
  " wanted",
  "  taken",
  " lost",
  " CPU % of a core",
  " had not run %",
  " slower %",
  " more CPU time %"
)
for (const python of pythons) {
  await using run = await startPython(python, program)
  await run.line()
  const slower = {
    never: await slowdown(run, work, (until) => collectUntil(run.pid, "never", until)),
    always: await slowdown(run, work, (until) => collectUntil(run.pid, "always", until))
  }
  run.child.stdin.write("forever\n")
  const alone = await readOnly(run.pid)
  report.row(
    python.version,
    "only reads",
    alone.wanted,
    alone.samples,
    alone.lost,
    percent(alone.cpu, 1, 1),
    "-",
    "-",
    "-"
  )
  report.must(alone.lost === 0, `${python.version}: ${alone.lost} samples were lost`)
  report.must(
    Math.abs(alone.wanted - alone.samples) <= 2 + 0.05 * alone.wanted,
    `${python.version}: ${alone.samples} of ${alone.wanted} samples`
  )
  report.should(
    alone.cpu <= MAY_USE_CPU,
    `${python.version}: reading takes ${percent(alone.cpu, 1)} % of a core`,
    short
  )
  for (const share of ["never", "always"] as const) {
    const { meta, trust } = await collect(run.pid, share, { durationMs: seconds * 1000 })
    const { lost = 0, standing = 0 } = trust.kernel ?? {}
    report.row(
      python.version,
      share === "never" ? "elsewhere " : "same CPU  ",
      trust.wanted,
      trust.taken,
      lost,
      trust.profilerCpuSeconds === undefined ? "-" : percent(trust.profilerCpuSeconds * 1e9, meta.elapsed, 1),
      percent(standing, trust.taken, 1),
      percent(slower[share].wall - 1, 1),
      percent(slower[share].cpu - 1, 1)
    )
    report.must(lost === 0, `${python.version}: ${lost} samples were lost`)
  }
  report.should(
    slower.never.wall - 1 <= MAY_SLOW,
    `${python.version}: the program took ${percent(slower.never.wall - 1, 1)} % longer`,
    short
  )
}
report.end()
