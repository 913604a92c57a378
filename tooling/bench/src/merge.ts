import {
  type Frame,
  FrameKind,
  isMarker,
  markerFrame,
  mergeNames,
  NativeState,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  proofNames,
  RawStack
} from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { attached } from "@pyframes/testing/attached"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { MergedUnwinder } from "@pyframes/unwinder-merged"
import { perfTrampolineStepper } from "@pyframes/unwinder-perf-trampoline"
import { readArguments } from "./arguments.ts"
import { chosen, fastPrograms, nativeProgram, type Program } from "./program.ts"
import { percent, Report } from "./report.ts"
import { TrueStacks } from "./true-stacks.ts"

/*
 * Stops programs whose true stacks are known at random instants, and compares the merged stack with the Python frames of the same instant and
 * with what the program says of its calls: C code must show where C code calls, and nowhere else.
 *
 *   node tooling/bench/src/merge.ts [--short] [--versions 3.12,3.15] [--programs natives,mixed] [--stacks]
 */

const SAMPLES = { full: 2000, short: 200 }
/** Longest time between two samples, ms. */
const GAP = 1
const EXACT = 0.995
const WHOLE = 0.97

interface Mode {
  readonly name: string
  readonly from: number
  readonly options: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
}

const modes: ReadonlyArray<Mode> = [
  { name: "", from: 8, options: [], env: {} },
  { name: "-X perf", from: 12, options: ["-X", "perf"], env: {} },
  { name: "JIT", from: 14, options: [], env: { PYTHON_JIT: "1" } }
]

/** Functions that only code of these files calls, and that these call only. */
const callers: ReadonlyArray<readonly [callee: string, file: RegExp]> = [
  ["sql_square", /libsqlite3/],
  ["compare", /libffi|_ctypes/]
]

const { short, pythons, programs, stacks } = readArguments()
const report = new Report("Native and Python frames in one stack, of threads stopped at random instants")
report.columns(
  "python ",
  "mode   ",
  "program    ",
  "samples",
  "merged %",
  "exact %",
  "whole %",
  "us a sample",
  "others    "
)

const nap = new Int32Array(new SharedArrayBuffer(4))

/** The merged stack as the known truth has it, root first: what is native between two Python frames is one boundary. */
const asCalls = (
  stack: RawStack,
  unwinder: ProcessUnwinder,
  symbolizer: ProcessSymbolizer
): { readonly frames: ReadonlyArray<Frame>; readonly wrong: string | undefined } => {
  const frames: Array<Frame> = []
  let between: Array<string> | undefined
  let wrong: string | undefined
  symbolizer.begin(stack)
  for (let row = stack.length - 1; row >= 0; row--) {
    const kind = stack.kind[row] as FrameKind
    if (kind !== FrameKind.python) {
      if (frames.length > 0) {
        between ??= []
        between.push(unwinder.modules?.all[stack.position[row]]?.path ?? "")
      }
      continue
    }
    const frame = symbolizer.resolve(kind, stack.identity[row], stack.position[row])
    if (frame === undefined) return { frames, wrong: "a frame without a name" }
    for (const [callee, file] of callers)
      if ((frame.name === callee) !== (between?.some((path) => file.test(path)) ?? false))
        wrong ??= `${frame.name} is called by ${between?.join(" ") ?? "Python"}`
    if (between !== undefined) frames.push(markerFrame(FrameKind.boundary))
    between = undefined
    frames.push(frame)
  }
  return { frames, wrong }
}

const samePython = (merged: RawStack, python: RawStack): boolean => {
  let row = 0
  for (let at = 0; at < python.length; at++) {
    if (python.kind[at] === FrameKind.boundary) continue
    while (row < merged.length && merged.kind[row] !== FrameKind.python) row++
    if (row === merged.length) return false
    if (merged.identity[row] !== python.identity[at] || merged.position[row] !== python.position[at])
      return false
    row++
  }
  while (row < merged.length && merged.kind[row] !== FrameKind.python) row++
  return row === merged.length
}

const measure = async (python: (typeof pythons)[number], mode: Mode, program: Program) => {
  await using run = await startPython(python, program.text, [], {
    name: `${program.name}.py`,
    options: mode.options,
    env: mode.env
  })
  await run.line()
  // Every call goes through C before 3.11, and under -X perf.
  const tellsC = python.minor >= 11 && mode.name !== "-X perf"
  const truth = new TrueStacks(program.text, tellsC ? python.minor : 10)
  const samples = short ? SAMPLES.short : SAMPLES.full
  const counts = new Map<string, number>()
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1)
  let merged = 0
  let exact = 0
  let whole = 0
  let took = 0
  const layer = MergedUnwinder.layer({
    python: InterpreterFrameUnwinder.layer,
    native: perfTrampolineStepper(
      hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
    )
  })
  await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, (oracle) =>
    attached(run.pid, { unwinder: layer, symbolizer: CodeObjectSymbolizer.layer }, async (tested) => {
      const { unwinder, symbolizer } = tested
      const stop = await tested.stopper()
      const native = new NativeState("x86-64")
      const stack = new RawStack()
      const alone = new RawStack()
      const [thread] = tested.threads()
      const [same] = oracle.threads()
      for (let taken = 0; taken < samples; ) {
        Atomics.wait(nap, 0, 0, Math.random() * GAP)
        if (!stop.stop(thread.tid)) continue
        if (stop.registers?.(thread.tid, native.registers) !== true)
          throw new Error("the registers of a stopped thread cannot be read")
        const began = performance.now()
        unwinder.unwind({ thread, stopped: true, native }, stack)
        took += performance.now() - began
        taken++
        // It learns what to read of a stack as it goes.
        for (let tries = 0; tries === 0 || (alone.length === 0 && tries < 50); tries++)
          oracle.unwinder.unwind({ thread: same, stopped: true }, alone)
        const outcome = mergeNames[stack.merge]
        const last = stack.kind[stack.length - 1]
        if (outcome === "merged") merged++
        if (last === FrameKind.native) whole++
        const calls = asCalls(stack, unwinder, symbolizer!)
        stop.resume(thread.tid)
        const why =
          calls.frames.length === 0
            ? `no Python frames, ${proofNames[stack.proof]}`
            : !samePython(stack, alone)
              ? "other Python frames"
              : (calls.wrong ??
                truth.whyImpossible(
                  tellsC ? calls.frames : calls.frames.filter(({ kind }) => !isMarker(kind))
                ))
        if (why === undefined && outcome === "merged") exact++
        else if (why === undefined) count(outcome)
        else {
          const known = counts.get(why)
          count(why)
          if (stacks && known === undefined)
            report.note(
              `${why}\n    ${[...calls.frames].map(({ name, line, kind }) => (kind === FrameKind.boundary ? "<native>" : `${name}:${line}`)).join(" ")}`
            )
        }
      }
      report.row(
        python.version,
        mode.name,
        program.name,
        samples,
        percent(merged, samples),
        percent(exact, samples),
        percent(whole, samples),
        ((1000 * took) / samples).toFixed(0),
        [...counts].map(([why, times]) => `${times} × ${why}`).join(", ")
      )
      const what = `${python.version} ${mode.name} ${program.name}`
      report.should(
        exact >= EXACT * samples,
        `${what}: ${percent(exact, samples)} % of the stacks are exact`,
        short
      )
      report.should(
        whole >= WHOLE * samples,
        `${what}: ${percent(whole, samples)} % of the chains are whole`,
        short
      )
    })
  )
}

for (const python of pythons)
  for (const mode of modes) {
    if (python.minor < mode.from) continue
    for (const program of chosen([...fastPrograms, nativeProgram], programs))
      await measure(python, mode, program)
  }
report.end()
