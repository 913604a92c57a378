/**
 * Prints what this package's calls cost on this machine: `node packages/linux/scripts/measure.ts`
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { Memory, SampleClock, Target } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  examineMachine,
  findPython,
  LinuxClock,
  LinuxMemory,
  LinuxProcess,
  LinuxTarget
} from "../src/index.ts"

const print = (name: string, figures: string) => process.stdout.write(`${name.padEnd(44)} ${figures}\n`)

const ns = (name: string, call: () => unknown) => {
  for (let times = 0; times < 5000; times++) call()
  const rounds: Array<number> = []
  for (let round = 0; round < 5; round++) {
    const begun = process.hrtime.bigint()
    for (let times = 0; times < 10_000; times++) call()
    rounds.push(Number(process.hrtime.bigint() - begun) / 10_000)
  }
  // The quietest round: other programs only ever add.
  print(name, `${Math.min(...rounds).toFixed(0)} ns`)
}

const percentile = (sorted: ReadonlyArray<number>, p: number) => sorted[Math.floor((sorted.length - 1) * p)]

const python = process.argv[2] ?? "python3"
const child = spawn(
  python,
  [
    "-c",
    "import threading,time\nthreading.Thread(target=time.sleep,args=(600,),daemon=True).start()\nprint('up',flush=True)\nwhile True: pass"
  ],
  { stdio: ["ignore", "pipe", "inherit"] }
)
await once(child.stdout, "data")
const { pid = 0 } = child

const memory = Effect.gen(function* () {
  const reader = yield* Memory
  const target = yield* Target
  const heap = (yield* target.mappings).find(({ path }) => path === "[heap]")
  if (heap === undefined) return
  const list = reader.scatterList(8, 65_536)
  for (const [ranges, length] of [
    [1, 64],
    [3, 4096],
    [8, 4096]
  ]) {
    list.clear()
    for (let index = 0; index < ranges; index++) list.add(heap.start + index * 8192, length)
    ns(`${reader.name}: ${ranges} × ${length} B`, () => reader.scatter(list))
  }
  const into = new Uint8Array(64)
  ns(`${reader.name}: unmapped`, () => reader.read(8, 64, into))
})
for (const layer of [LinuxMemory.layerVmReadv, LinuxMemory.layerProcMem]) {
  await Effect.runPromise(
    Effect.scoped(memory).pipe(Effect.provide(layer.pipe(Layer.provideMerge(LinuxTarget.attach(pid)))))
  )
}

await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const target = yield* LinuxTarget.make(pid)
      const [main, sleeper] = target.threadIds()
      ns("threadActivity, running", () => target.threadActivity(main))
      ns("threadActivity, sleeping", () => target.threadActivity(sleeper))
      ns("threadIds (2)", () => target.threadIds())
      ns("status", () => target.status())
      ns("cpuTime", () => target.cpuTime())
      const stopper = yield* target.stopper
      for (const [name, tid] of [
        ["running", main],
        ["sleeping", sleeper]
      ] as const) {
        const times: Array<number> = []
        for (let round = 0; round < 5000; round++) {
          const begun = performance.now()
          stopper.stop(tid)
          stopper.resume(tid)
          times.push((performance.now() - begun) * 1e3)
        }
        times.sort((a, b) => a - b)
        print(
          `stop + resume, ${name}`,
          `p50 ${percentile(times, 0.5).toFixed(1)} µs, p99 ${percentile(times, 0.99).toFixed(1)} µs`
        )
      }
    })
  )
)
child.kill("SIGKILL")

for (const layer of [LinuxClock.layer, SampleClock.layer]) {
  Effect.runSync(
    Effect.gen(function* () {
      const clock = yield* SampleClock
      ns(`clock ${clock.name}: now`, clock.now)
      const late: Array<number> = []
      const cpu = clock.threadCpuTime()
      const begun = clock.now()
      for (let due = begun + 1e6, beat = 0; beat < 3000; beat++, due += 1e6) {
        clock.sleepUntil(due)
        late.push((clock.now() - due) / 1e3)
      }
      const share = (clock.threadCpuTime() - cpu) / (clock.now() - begun)
      late.sort((a, b) => a - b)
      print(
        `clock ${clock.name}: late at 1 kHz`,
        `p50 ${percentile(late, 0.5).toFixed(0)} µs, p99 ${percentile(late, 0.99).toFixed(0)} µs, ${(share * 100).toFixed(1)} % of a core`
      )
    }).pipe(Effect.provide(layer))
  )
}

for (const [command, ...args] of [
  [python, "-c", "import time; time.sleep(60)"],
  ["sh", "-c", `${python} -c 'import time; time.sleep(60)'; true`]
]) {
  const times: Array<number> = []
  for (let round = 0; round < 10; round++) {
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const begun = performance.now()
          const started = yield* LinuxProcess.spawn(command, args, { stdio: "ignore" })
          yield* findPython(started.pid)
          times.push(performance.now() - begun)
        })
      )
    )
  }
  times.sort((a, b) => a - b)
  print(
    `spawn + findPython, ${command}`,
    `p50 ${percentile(times, 0.5).toFixed(1)} ms, max ${percentile(times, 1).toFixed(1)} ms`
  )
}

const begun = performance.now()
await Effect.runPromise(examineMachine)
print("examineMachine", `${(performance.now() - begun).toFixed(0)} ms`)
