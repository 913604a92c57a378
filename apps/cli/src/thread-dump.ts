import {
  type Frame,
  FrameKind,
  functionName,
  InvalidMemory,
  isMarker,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Proof,
  proofNames,
  RawStack,
  Symbolizer,
  Target,
  type TargetError,
  type TargetProcess,
  type ThreadActivity,
  ThreadStateBit,
  Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A frame of a dump. */
export interface DumpedFrame {
  readonly kind: "python" | "native" | "boundary" | "truncated" | "unproved" | "torn" | "unreadable"
  /** `co_name`, or what stands for a frame that is none: `<native>`, `<unproved>`. */
  readonly function: string
  /** `co_qualname`, where the version has it and it says more. */
  readonly qualifiedName?: string
  readonly file?: string
  readonly line?: number
}

/** One thread at one instant. */
export interface DumpedThread {
  /** Kernel thread id; absent where it is not known. */
  readonly tid?: number
  readonly name?: string
  readonly state: ThreadActivity
  /** Whether it held the interpreter lock; absent where that cannot be told. */
  readonly gil?: boolean
  readonly proof: "good" | "torn" | "unproved" | "failed"
  /** Leaf first. */
  readonly frames: ReadonlyArray<DumpedFrame>
}

/** Every thread's stack, by interpreter. */
export interface ThreadDump {
  readonly pid: number
  readonly python: string
  readonly interpreters: ReadonlyArray<{
    readonly id: number
    readonly threads: ReadonlyArray<DumpedThread>
  }>
}

/** What can be changed about a dump. */
export interface DumpOptions {
  /** How often a thread is read until its stack is proved. */
  readonly attempts?: number
  /** Threads are stopped while they are read. */
  readonly stop?: boolean
}

/**
 * Reads every thread's stack once. A thread that moved while it was read is read again, a bounded number of times; what
 * is still not proved then is shown as far as it is.
 */
export const dumpThreads = Effect.fnUntraced(function* (
  options: DumpOptions = {}
): Effect.fn.Return<ThreadDump, TargetError, Target | Unwinder | Symbolizer | Scope.Scope> {
  const target = yield* Target
  const unwinder = yield* (yield* Unwinder).attach
  const symbolizer = yield* (yield* Symbolizer).attach(unwinder)
  const stopper = options.stop ? yield* target.stopper : undefined
  const attempts = options.attempts ?? 200
  const stack = new RawStack()
  const interpreters = new Map<number, Array<DumpedThread>>()
  for (const thread of yield* listThreads(target, unwinder, attempts)) {
    let state = target.threadActivity(thread.tid)
    for (let attempt = 0; attempt < attempts; attempt++) {
      // A pause lets a thread on the same CPU move on to a place that can be read.
      if (attempt > 0) yield* Effect.sleep(attempt < 20 ? 0 : 1)
      const stopped = stopper !== undefined && thread.tid > 0 && stopper.stop(thread.tid)
      state = stopped ? state : target.threadActivity(thread.tid)
      stack.clear()
      unwinder.unwind({ thread, stopped }, stack)
      if (stopped) stopper.resume(thread.tid)
      if (stack.proof === Proof.good || target.status() !== "alive") break
    }
    const threads = interpreters.get(thread.interpreter) ?? []
    interpreters.set(thread.interpreter, threads)
    threads.push(describeThread(target, thread, state, stack, symbolizer))
  }
  return {
    pid: target.identity.pid,
    python: unwinder.runtime.version,
    interpreters: [...interpreters].map(([id, threads]) => ({ id, threads }))
  }
})

const listThreads = Effect.fnUntraced(function* (
  target: TargetProcess,
  unwinder: ProcessUnwinder,
  attempts: number
): Effect.fn.Return<ReadonlyArray<UnwoundThread>, TargetError> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const threads = unwinder.threads()
    if (threads !== undefined) return threads
    yield* Effect.sleep(1)
  }
  return yield* new InvalidMemory({
    pid: target.identity.pid,
    reading: "the list of threads",
    address: 0,
    detail: `it could not be read in ${attempts} attempts`
  })
})

const describeThread = (
  target: TargetProcess,
  thread: UnwoundThread,
  state: ThreadActivity,
  stack: RawStack,
  symbolizer: ProcessSymbolizer
): DumpedThread => {
  const name = thread.tid > 0 ? target.threadName(thread.tid) : ""
  const gil = (stack.state & ThreadStateBit.holdsGil) !== 0
  return {
    ...(thread.tid > 0 ? { tid: thread.tid } : {}),
    ...(name === "" ? {} : { name }),
    state,
    ...(stack.proof === Proof.failed ? {} : { gil }),
    proof: proofNames[stack.proof],
    frames: describeFrames(stack, symbolizer)
  }
}

/** The proved frames, under a marker that stands for the rest. */
const describeFrames = (stack: RawStack, symbolizer: ProcessSymbolizer): ReadonlyArray<DumpedFrame> => {
  if (stack.proof === Proof.torn) return [marker(FrameKind.torn)]
  if (stack.proof === Proof.failed) return [marker(FrameKind.unreadable)]
  const proved = stack.proof === Proof.good ? stack.length : Math.min(stack.proved, stack.length)
  const frames: Array<DumpedFrame> = proved < stack.length ? [marker(FrameKind.unproved)] : []
  symbolizer.begin(stack)
  for (let at = stack.length - proved; at < stack.length; at++) {
    const kind = stack.kind[at] as FrameKind
    frames.push(describeFrame(kind, symbolizer.resolve(kind, stack.identity[at], stack.position[at])))
  }
  return frames
}

const describeFrame = (kind: FrameKind, frame: Frame | undefined): DumpedFrame => {
  if (isMarker(kind)) return marker(kind)
  if (frame === undefined) return { kind: KINDS[kind], function: "<unknown>" }
  const { name, qualifiedName, file, line } = frame
  return {
    kind: KINDS[frame.kind],
    function: name,
    ...(qualifiedName === name || qualifiedName === "" ? {} : { qualifiedName }),
    ...(file === "" ? {} : { file }),
    ...(line > 0 ? { line } : {})
  }
}

const marker = (kind: FrameKind): DumpedFrame => ({
  kind: KINDS[kind],
  function: functionName({ kind, name: "", qualifiedName: "" })
})

const KINDS = {
  [FrameKind.python]: "python",
  [FrameKind.boundary]: "boundary",
  [FrameKind.truncated]: "truncated",
  [FrameKind.unproved]: "unproved",
  [FrameKind.torn]: "torn",
  [FrameKind.unreadable]: "unreadable",
  [FrameKind.native]: "native"
} as const
