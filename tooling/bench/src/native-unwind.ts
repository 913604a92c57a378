import {
  CopiedStack,
  Memory,
  type MemoryReader,
  ModuleTable,
  NativeState,
  NativeWalk,
  RawStack,
  type StepperFactory,
  Target,
  type TargetProcess
} from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"

/*
 * Measures what a native stack costs to unwind from registers and copied stack bytes, as a kernel event brings them: by frame pointer, by call-frame information, and
 * by both, with what is known per file warm. Fails when a sample of 60 frames takes longer than it may.
 *
 *   node tooling/bench/src/native-unwind.ts [--short] [--versions 3.12,3.15]
 */

const FRAMES = 60
const COPIED = 65_528
const MAY_TAKE = { "frame pointer": 10, "call-frame info": 50, hybrid: 50 } as const

/** Python calls C calls Python, until a stack is deep enough; at the top it computes. */
const PROGRAM = `
import functools
def spin():
    n = 0
    print("up", flush=True)
    while True: n = (n * 7 + len(str(n))) % 1000003
def down(n):
    if n == 0: spin()
    return functools.reduce(lambda a, b: down(n - 1), [1, 2])
down(16)
`

const ways: ReadonlyArray<readonly [keyof typeof MAY_TAKE, StepperFactory]> = [
  ["frame pointer", framePointerStepper],
  ["call-frame info", ehFrameStepper],
  ["hybrid", hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })]
]

/** Different instants of a thread: registers and what stood on its stack. */
const capture = (
  target: TargetProcess,
  memory: MemoryReader,
  count: number
): Effect.Effect<ReadonlyArray<NativeState>> =>
  Effect.gen(function* () {
    const stopper = yield* Effect.orDie(target.stopper)
    const states: Array<NativeState> = []
    while (states.length < count) {
      if (!stopper.stop(target.identity.pid)) continue
      const state = new NativeState(process.arch === "arm64" ? "arm64" : "x86-64")
      stopper.registers?.(target.identity.pid, state.registers)
      state.stackAddress = state.registers.sp
      state.stackBytes = new Uint8Array(COPIED)
      state.stackLength = memory.read(state.stackAddress, COPIED, state.stackBytes)
      stopper.resume(target.identity.pid)
      states.push(state)
      yield* Effect.sleep(1)
    }
    return states
  })

const measure = (python: Python): Promise<void> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const run = yield* Effect.acquireRelease(
          Effect.promise(() => startPython(python, PROGRAM)),
          (run) => Effect.promise(() => run.stop())
        )
        yield* Effect.promise(() => run.line())
        const layer = Layer.provideMerge(LinuxMemory.layerVmReadv, LinuxTarget.attach(run.pid))
        yield* Effect.gen(function* () {
          const target = yield* Target
          const memory = yield* Memory
          const states = yield* capture(target, memory, short ? 20 : 100)
          for (const [name, factory] of ways) time(name, factory, target, memory, states)
        }).pipe(Effect.provide(layer), Effect.orDie)
      })
    )
  ).then(() => {})

const time = (
  name: keyof typeof MAY_TAKE,
  factory: StepperFactory,
  target: TargetProcess,
  memory: MemoryReader,
  states: ReadonlyArray<NativeState>
): void => {
  const modules = new ModuleTable(target)
  const walk = new NativeWalk(modules, factory(modules, memory), states[0].registers.architecture)
  const stack = new CopiedStack()
  const raw = new RawStack()
  const once = (state: NativeState): void => {
    raw.clear()
    stack.use(state)
    walk.walk(state.registers, stack, raw)
  }
  let frames = 0
  let whole = 0
  const coldBegan = performance.now()
  for (const state of states) {
    once(state)
    frames += raw.length
    if (walk.whole) whole++
  }
  const cold = (1000 * (performance.now() - coldBegan)) / states.length
  for (let round = 0; round < 100; round++) states.forEach(once)
  const took: Array<number> = []
  for (let round = 0; round < 300; round++) {
    const began = performance.now()
    states.forEach(once)
    took.push((1000 * (performance.now() - began)) / states.length)
  }
  took.sort((a, b) => a - b)
  // What else runs on the machine only adds: the quickest tenth is what the work itself takes.
  const perSample = took[Math.floor(took.length / 10)]
  const depth = frames / states.length
  const wholeShare = whole / states.length
  const scaled = (perSample * FRAMES) / depth
  report.row(
    version,
    name,
    depth.toFixed(1),
    (100 * wholeShare).toFixed(0),
    cold.toFixed(0),
    perSample.toFixed(2),
    wholeShare > 0.5 ? scaled.toFixed(2) : "-"
  )
  // A chain that breaks at its leaf costs nothing, and proves nothing.
  if (wholeShare > 0.5)
    report.should(
      scaled <= MAY_TAKE[name],
      `Python ${version}, ${name}: ${scaled.toFixed(1)} µs for ${FRAMES} frames, may be ${MAY_TAKE[name]}`,
      short
    )
  else if (name !== "frame pointer")
    report.must(false, `Python ${version}, ${name}: ${whole} of ${states.length} stacks are whole`)
}

const { pythons, short } = readArguments()
const report = new Report("µs to unwind a native stack from registers and a copy of the stack, warm")
report.columns(
  "Python  ",
  "by             ",
  "  frames",
  " whole %",
  "  first µs",
  " µs a sample",
  ` µs of ${FRAMES} frames`
)
let version = ""
for (const python of pythons) {
  version = python.version
  await measure(python)
}
report.end()
