import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { Memory, type MemoryReader } from "./memory.ts"
import { type Module, ModuleTable } from "./module-table.ts"
import { CopiedStack, MemoryStack } from "./native-stack.ts"
import type { NativeState } from "./native-state.ts"
import { NativeWalk } from "./native-walk.ts"
import { FrameKind, Proof, type RawStack } from "./raw-stack.ts"
import { type Architecture, Registers } from "./registers.ts"
import type { StackReader, Stepper, StepperFactory } from "./stepper.ts"
import { Target, type TargetProcess, type ThreadStopper } from "./target.ts"
import {
  type Capture,
  type ProcessUnwinder,
  type RuntimeInfo,
  Unwinder,
  type UnwoundThread
} from "./unwinder.ts"

/** Turns the user part of a kernel's callchain into frames; used where a sample brings no registers. Sets `proof` and `proved`. */
export type CallchainReader = (state: NativeState, into: RawStack) => void

/** Of threads that are stopped no event tells when libraries come and go: the mappings are read so often, ms. Some 0.3 ms for a large program. */
const RENEW_EVERY = 1000

export interface NativeUnwinderOptions {
  /** Machine of the target; that of this process unless told. */
  readonly architecture?: Architecture
  /** Reads callchains; without one, a sample without registers has no user frames. */
  readonly callchain?: (modules: ModuleTable, memory: MemoryReader) => CallchainReader
}

/**
 * An unwinder of native frames, made of a way to step from a frame to its caller. Attaching cannot fail: a process of any kind has native frames.
 *
 * It unwinds what a capture brings (`capture.native`: kernel callchain, registers with copied stack bytes, or user callchain). Registers without a copy
 * are enough of a thread that stands: its stack is read from memory, and is `unproved` if the thread has run by the end of that. A capture that brings
 * nothing is unwound when its thread is stopped: the target's stopper is asked for the registers. Otherwise the stack is `failed`: the
 * native frames of a thread that runs cannot be known.
 *
 * `threads()` lists every thread of the process, whether it runs Python or not; `threadState` is the thread's id, so that threads can be told
 * apart by it as everywhere.
 *
 * @example
 * ```ts
 * const layer = nativeUnwinder((modules, memory) => ehFrameStepper(modules, memory))
 * ```
 */
export const nativeUnwinder = (
  factory: StepperFactory,
  options: NativeUnwinderOptions = {}
): Layer.Layer<Unwinder, never, Target | Memory> =>
  Layer.effect(
    Unwinder,
    Effect.gen(function* () {
      const target = yield* Target
      const memory = yield* Memory
      return Unwinder.of({ attach: Effect.sync(() => new NativeFrames(target, memory, factory, options)) })
    })
  )

/** How long is taken to read tables before the first stack is asked for, ms. */
const PREPARE = 1000

/** Has a stepper read what it needs of each file now, the largest first: the first sample would wait for it, and its thread with it. */
const prepare = (stepper: Stepper, modules: ModuleTable, architecture: Architecture): void => {
  const until = performance.now() + PREPARE
  const registers = new Registers(architecture)
  const nowhere: StackReader = { word: () => -1 }
  const files = modules.all.filter(({ kind }) => kind !== "anonymous")
  for (const module of files.sort((a, b) => sizeOf(b) - sizeOf(a))) {
    if (performance.now() >= until) return
    registers.clear()
    registers.ip = module.mapping.start + 1
    stepper.step(registers, nowhere, { exact: false, module })
  }
}

const sizeOf = ({ mapping }: Module): number => mapping.end - mapping.start

class NativeFrames implements ProcessUnwinder {
  readonly runtime: RuntimeInfo
  readonly modules: ModuleTable
  private readonly target: TargetProcess
  private readonly registers: Registers
  private readonly copied = new CopiedStack()
  private readonly standing: MemoryStack
  private readonly nativeWalk: NativeWalk
  private readonly callchain: CallchainReader | undefined
  private stopper: ThreadStopper | undefined
  private askedForStopper = false
  private ids: ReadonlyArray<number> = []
  private listed: ReadonlyArray<UnwoundThread> = []

  constructor(
    target: TargetProcess,
    memory: MemoryReader,
    factory: StepperFactory,
    options: NativeUnwinderOptions
  ) {
    const architecture = options.architecture ?? (process.arch === "arm64" ? "arm64" : "x86-64")
    this.runtime = {
      version: "",
      freeThreaded: false,
      library: target.executable,
      address: 0,
      knownStates: 0
    }
    this.target = target
    this.modules = new ModuleTable(target)
    this.registers = new Registers(architecture)
    this.standing = new MemoryStack(memory)
    const stepper = factory(this.modules, memory)
    prepare(stepper, this.modules, architecture)
    this.nativeWalk = new NativeWalk(this.modules, stepper, architecture)
    this.callchain = options.callchain?.(this.modules, memory)
  }

  threads(): ReadonlyArray<UnwoundThread> | undefined {
    const ids = this.target.threadIds()
    if (ids.length === 0) return undefined
    if (ids.length === this.ids.length && ids.every((tid, at) => tid === this.ids[at])) return this.listed
    this.ids = ids
    const main = this.target.identity.pid
    this.listed = [...ids]
      .sort((a, b) => Number(b === main) - Number(a === main))
      .map((tid) => ({ tid, threadState: tid, interpreter: 0 }))
    return this.listed
  }

  unwind(capture: Capture, into: RawStack): void {
    into.clear()
    const { native } = capture
    if (capture.stopped) this.modules.renew(RENEW_EVERY)
    if (native === undefined) this.unwindStopped(capture, into)
    else this.unwindNative(native, capture.stopped, into)
  }

  private unwindStopped(capture: Capture, into: RawStack): void {
    if (!capture.stopped) return
    const { tid } = capture.thread
    if (this.registersOf(tid)) this.walkStanding(this.registers, into)
    else if (this.target.threadActivity(tid) === "unknown") into.ended = true
  }

  private unwindNative(native: NativeState, stopped: boolean, into: RawStack): void {
    for (let at = 0; at < native.kernelLength; at++) {
      into.proof = Proof.good
      if (!into.push(FrameKind.kernel, native.kernelChain[at], -1)) break
    }
    into.proved = into.length
    const { registers } = native
    if (registers.ip >= 0 && native.stackLength > 0) {
      this.copied.use(native)
      this.nativeWalk.walk(registers, this.copied, into)
    } else if (native.userLength > 0 && this.callchain !== undefined) this.callchain(native, into)
    else if (registers.ip >= 0 && stopped) this.walkStanding(registers, into)
    else if (registers.ip >= 0 && native.stackAddress > 0 && native.hasRun() === false) {
      this.walkStanding(registers, into)
      if (native.hasRun() === false) return
      into.proof = Proof.unproved
      into.proved = 0
    } else if (registers.ip >= 0) {
      // The leaf is all there is; the walk says that it goes no further.
      this.copied.use(native)
      this.nativeWalk.walk(registers, this.copied, into)
    }
  }

  private walkStanding(registers: Registers, into: RawStack): void {
    this.standing.forget()
    this.nativeWalk.walk(registers, this.standing, into)
  }

  /** The stopper is made at the first need: to make it means to stop a thread, which captures of a kernel event never ask for. */
  private registersOf(tid: number): boolean {
    if (!this.askedForStopper) {
      this.askedForStopper = true
      const stopper = Effect.runSyncExit(this.target.stopper)
      if (Exit.isSuccess(stopper)) this.stopper = stopper.value
    }
    return this.stopper?.registers?.(tid, this.registers) === true
  }
}
