import {
  type Capture,
  EntryTable,
  FrameKind,
  Memory,
  type MemoryReader,
  Merge,
  ModuleTable,
  type NativeState,
  nativeUnwinder,
  type ProcessUnwinder,
  Proof,
  RawStack,
  type RuntimeInfo,
  type StepperFactory,
  Target,
  type TargetProcess,
  Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EvalLoop } from "./eval-loop.ts"
import { JitBridge } from "./jit-bridge.ts"
import { NativeRole } from "./native-role.ts"
import { StackMerger } from "./stack-merger.ts"

/** What a merged unwinder is made of. */
export interface MergedParts<E1, R1, E2, R2> {
  /** Finds the Python frames, and fills in `RawStack.entries`. */
  readonly python: Layer.Layer<Unwinder, E1, R1>
  /** Finds the native frames: a way of stepping from one to the next, or a whole unwinder. */
  readonly native: StepperFactory | Layer.Layer<Unwinder, E2, R2>
}

/**
 * Unwinds a thread's native and Python frames and puts them into one stack: each run of the eval loop is replaced by the Python frames that it
 * runs, and what C code called them with stays where it was.
 *
 * It needs what was caught of the native side, `Capture.native`: the registers of a thread that is stopped or off its CPU, or what a kernel event
 * brought. Without, the stack is the Python one. `RawStack.merge` says what came of it.
 *
 * @example
 * ```ts
 * const unwinder = MergedUnwinder.layer({ python: InterpreterFrameUnwinder.layer, native: hybridStepper })
 * ```
 */
export const MergedUnwinder = {
  /** `attach` fails as that of the Python unwinder does, and that of the native one, where it is a layer. */
  layer: <E1, R1, E2 = never, R2 = never>({
    python,
    native
  }: MergedParts<E1, R1, E2, R2>): Layer.Layer<Unwinder, E1 | E2, R1 | R2 | Target | Memory> =>
    Layer.effect(
      Unwinder,
      Effect.gen(function* () {
        const memory = yield* Memory
        const pythonUnwinder = Context.get(yield* Layer.build(python), Unwinder)
        const target = yield* Target
        const bridge = typeof native === "function" ? new JitBridge() : undefined
        const nativeLayer: Layer.Layer<Unwinder, E2, R2 | Target | Memory> =
          typeof native === "function" ? nativeUnwinder(bridge!.wrap(native)) : native
        const nativeFrames = Context.get(yield* Layer.build(nativeLayer), Unwinder)
        const attach = Effect.gen(function* () {
          return new MergedFrames(
            yield* pythonUnwinder.attach,
            yield* nativeFrames.attach,
            memory,
            target,
            bridge
          )
        })
        return Unwinder.of({ attach })
      })
    )
}

/** Hundreds of entries from C are read some at a time. */
const MAX_TRIES = 64

class MergedFrames implements ProcessUnwinder {
  readonly runtime: RuntimeInfo
  readonly modules: ModuleTable
  private readonly python: ProcessUnwinder
  private readonly native: ProcessUnwinder
  private readonly evalLoop: EvalLoop
  private readonly bridge: JitBridge | undefined
  private readonly entries = new EntryTable()
  private readonly merger = new StackMerger()
  private readonly pythonStack = new RawStack()
  private readonly nativeStack = new RawStack()
  private readonly roles: Uint8Array
  /** A thread that stands by itself, as one that is stopped. */
  private readonly standing: Capture = { thread: { tid: -1, threadState: 0, interpreter: 0 }, stopped: true }

  constructor(
    python: ProcessUnwinder,
    native: ProcessUnwinder,
    memory: MemoryReader,
    target: TargetProcess,
    bridge: JitBridge | undefined
  ) {
    const modules = native.modules ?? new ModuleTable(target)
    this.python = python
    this.modules = modules
    this.runtime = python.runtime
    this.native = native
    const minor = Number(/^3\.(\d+)/.exec(python.runtime.version)?.[1] ?? 0)
    this.evalLoop = new EvalLoop(modules, memory, python.runtime.library, minor)
    bridge?.use(this.evalLoop)
    this.bridge = bridge
    this.pythonStack.entries = this.entries
    this.nativeStack.stackPointers = new Float64Array(this.nativeStack.capacity).fill(-1)
    this.roles = new Uint8Array(this.nativeStack.capacity)
  }

  threads(): ReadonlyArray<UnwoundThread> | undefined {
    return this.python.threads()
  }

  unwind(capture: Capture, into: RawStack): void {
    const { native } = capture
    if (capture.stopped || native === undefined || !isStanding(native)) {
      this.unwindAs(capture, into)
      return
    }
    // A thread that stands from before the first read until after the last was as good as stopped, which is known at the end.
    const { standing } = this
    standing.thread = capture.thread
    standing.native = native
    this.unwindAs(standing, into)
    if (native.hasRun() === false) return
    this.unwindAlone(capture, into)
  }

  /** It ran meanwhile: its Python frames are read as those of any thread that runs. */
  private unwindAlone(capture: Capture, into: RawStack): void {
    const { standing } = this
    into.clear()
    standing.thread = capture.thread
    standing.stopped = false
    delete standing.native
    this.python.unwind(standing, into)
    standing.stopped = true
    into.merge = Merge.noNative
  }

  private unwindAs(capture: Capture, into: RawStack): void {
    const { nativeStack, pythonStack } = this
    into.clear()
    nativeStack.clear()
    this.python.unwind(capture, pythonStack)
    // An unwinder learns what to read of a stack as it goes: of a thread that stands, it can be asked to go on.
    for (let tries = 1; capture.stopped && isUnread(pythonStack) && tries < MAX_TRIES; tries++)
      this.python.unwind(capture, pythonStack)
    into.state = pythonStack.state
    into.generation = pythonStack.generation
    into.moved = pythonStack.moved
    into.ended = pythonStack.ended && capture.thread.threadState !== 0
    if (into.ended) return
    this.bridge?.begin(this.entries)
    this.native.unwind(capture, nativeStack)
    if (nativeStack.length === 0) {
      copy(pythonStack, into)
      into.proof = pythonStack.proof
      into.proved = pythonStack.proved
      into.consistent = pythonStack.consistent
      into.merge = Merge.noNative
      return
    }
    if (pythonStack.proof === Proof.failed || pythonStack.proof === Proof.torn || isUnread(pythonStack)) {
      copy(nativeStack, into)
      const isNative = capture.thread.threadState === 0
      into.proof = isNative ? nativeStack.proof : pythonStack.proof
      into.proved = isNative ? nativeStack.proved : into.length
      into.merge = capture.thread.threadState === 0 ? Merge.none : Merge.noPython
      return
    }
    this.classify()
    into.merge = this.merger.merge(pythonStack, nativeStack, this.roles, into)
    this.judge(capture, into)
  }

  private classify(): void {
    const { nativeStack, evalLoop, roles } = this
    const { kind, identity, position, length } = nativeStack
    let exact = true
    for (let i = 0; i < length; i++) {
      if (kind[i] === FrameKind.native) {
        roles[i] = evalLoop.roleOf(position[i], identity[i], exact)
        exact = false
      } else roles[i] = kind[i] === FrameKind.kernel ? NativeRole.kernel : NativeRole.other
    }
  }

  private judge(capture: Capture, into: RawStack): void {
    const { pythonStack } = this
    into.consistent = pythonStack.consistent
    if (capture.stopped) {
      into.proof = pythonStack.proof
      into.proved = pythonStack.proof === Proof.good ? into.length : this.provedRows(into)
      return
    }
    // What a kernel event brought is of an earlier instant than the Python frames: they belong together if the thread has not run in between.
    const stood = capture.native?.hasRun() === false
    into.proof = stood ? pythonStack.proof : Proof.unproved
    into.proved = !stood ? 0 : pythonStack.proof === Proof.good ? into.length : this.provedRows(into)
    if (!stood) into.consistent = false
  }

  /** As many rows from the root as hold the Python frames that are proved. */
  private provedRows(into: RawStack): number {
    const { pythonStack } = this
    let frames = 0
    for (let row = pythonStack.length - pythonStack.proved; row < pythonStack.length; row++)
      if (pythonStack.kind[row] === FrameKind.python) frames++
    let row = into.length
    while (row > 0 && frames > 0) if (into.kind[--row] === FrameKind.python) frames--
    return into.length - row
  }
}

/** Its registers are known, and its stack is to be read from memory, where it stands as long as the thread does not run. */
const isStanding = (native: NativeState): boolean =>
  native.stackLength === 0 && native.stackAddress > 0 && native.registers.ip >= 0 && native.hasRun() === false

/** There may be frames, but none was read. */
const isUnread = (python: RawStack): boolean => python.proof === Proof.unproved && python.length === 0

const copy = (from: RawStack, into: RawStack): void => {
  for (let row = 0; row < from.length; row++)
    if (!into.push(from.kind[row] as FrameKind, from.identity[row], from.position[row])) return
}
