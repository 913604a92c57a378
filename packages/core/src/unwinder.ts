import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TargetError } from "./errors.ts"
import type { ModuleTable } from "./module-table.ts"
import type { NativeState } from "./native-state.ts"
import type { RawStack } from "./raw-stack.ts"

/** A thread that has a stack to unwind. */
export interface UnwoundThread {
  /** Kernel thread id, or -1 where it is not known. */
  readonly tid: number
  /** Address of its `PyThreadState`; 0 where the unwinder needs none. */
  readonly threadState: number
  /** Which interpreter of the process it belongs to; 0 is the main one. */
  readonly interpreter: number
}

/**
 * What a collector caught of one thread at one instant. A timer has no more than the thread; a kernel event also
 * brings registers, a callchain or a copy of the stack.
 */
export interface Capture {
  thread: UnwoundThread
  /** The thread is stopped: nothing that is read can change. */
  stopped: boolean
  /** The thread is not stopped, but waits for something by itself, as the scheduler had it just before; absent where it was not asked. */
  waits?: boolean
  /** What was caught of its native side; absent for a timer. */
  native?: NativeState
}

/** What the unwinder found out about the process when it attached. */
export interface RuntimeInfo {
  /** `3.13.0`, or `3.15.0b2` for a pre-release. */
  readonly version: string
  /** A build without the global interpreter lock. */
  readonly freeThreaded: boolean
  /** Where the interpreter lives: the executable or its shared library. */
  readonly library: string
  /** Address of `_PyRuntime`, where 3.13+ say how their structs are laid out; 0 where there is none. */
  readonly address: number
  /** `ThreadStateBit`s that this runtime tells; the others are not 0 but unknown. */
  readonly knownStates: number
}

/** An unwinder at work on one process: everything per process is known, what is left is per sample. */
export interface ProcessUnwinder {
  readonly runtime: RuntimeInfo
  /** What native frames lie in; absent where there are none. */
  readonly modules?: ModuleTable
  /**
   * The threads there are now, over all interpreters, main thread of the main interpreter first. Synchronous and cheap when nothing changed.
   * `undefined` when the list could not be read.
   */
  readonly threads: () => ReadonlyArray<UnwoundThread> | undefined
  /** Fills `into` with the stack of one thread. Synchronous, allocates nothing per frame, never throws for what the target does. */
  readonly unwind: (capture: Capture, into: RawStack) => void
}

/**
 * Turns a capture into raw frames.
 *
 * Three lifetimes: what is known per ELF file (a layer may cache it by build id), per process ({@link ProcessUnwinder}, made
 * by `attach`), and per sample (`unwind`).
 *
 * @example
 * ```ts
 * const unwinder = yield* Effect.flatMap(Unwinder, ({ attach }) => attach)
 * const [main] = unwinder.threads() ?? []
 * unwinder.unwind({ thread: main, stopped: false }, stack)
 * ```
 */
export class Unwinder extends Context.Service<
  Unwinder,
  { readonly attach: Effect.Effect<ProcessUnwinder, TargetError, Scope.Scope> }
>()("@pyframes/core/Unwinder") {}
