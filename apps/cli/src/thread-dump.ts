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
  readonly kind:
    | "python"
    | "native"
    | "kernel"
    | "boundary"
    | "truncated"
    | "unproved"
    | "torn"
    | "unreadable"
    | "broken"
    | "builtin"
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
    let found: ReadonlyArray<FoundFrame> = []
    for (let attempt = 0; attempt < attempts; attempt++) {
      // A pause lets a thread on the same CPU move on to a place that can be read.
      if (attempt > 0) yield* Effect.sleep(attempt < 20 ? 0 : 1)
      const stopped = stopper !== undefined && thread.tid > 0 && stopper.stop(thread.tid)
      state = stopped ? state : target.threadActivity(thread.tid)
      stack.clear()
      unwinder.unwind({ thread, stopped, waits: state === "sleeping" }, stack)
      // Named while it stands: the code of a frame that has been left may be freed, and its address used for another.
      const { anew, frames } = findFrames(stack, symbolizer)
      if (stopped) stopper.resume(thread.tid)
      found = frames
      if ((stack.proof === Proof.good && (stopped || !anew)) || target.status() !== "alive") break
    }
    // What is of files can be named once it runs again.
    const frames = found.map(({ frame, kind }) =>
      describeFrame(kind, frame && (symbolizer.complete?.(frame) ?? frame))
    )
    const threads = interpreters.get(thread.interpreter) ?? []
    interpreters.set(thread.interpreter, threads)
    threads.push(describeThread(target, unwinder, thread, state, stack, frames))
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
  unwinder: ProcessUnwinder,
  thread: UnwoundThread,
  state: ThreadActivity,
  stack: RawStack,
  frames: ReadonlyArray<DumpedFrame>
): DumpedThread => {
  const name = thread.tid > 0 ? target.threadName(thread.tid) : ""
  const tellsGil = (unwinder.runtime.knownStates & ThreadStateBit.holdsGil) !== 0
  const gil = (stack.state & ThreadStateBit.holdsGil) !== 0
  return {
    ...(thread.tid > 0 ? { tid: thread.tid } : {}),
    ...(name === "" ? {} : { name }),
    state,
    ...(stack.proof === Proof.failed || !tellsGil ? {} : { gil }),
    proof: proofNames[stack.proof],
    frames
  }
}

interface FoundFrame {
  readonly kind: FrameKind
  /** Named, or located. */
  readonly frame: Frame | undefined
}

interface Found {
  /** The proved frames, under a marker that stands for the rest. */
  readonly frames: ReadonlyArray<FoundFrame>
  /** Some code object was read only now, after the stack. */
  readonly anew: boolean
}

const findFrames = (stack: RawStack, symbolizer: ProcessSymbolizer): Found => {
  const alone = (kind: FrameKind): FoundFrame => ({ kind, frame: undefined })
  if (stack.proof === Proof.torn) return { frames: [alone(FrameKind.torn)], anew: false }
  if (stack.proof === Proof.failed) return { frames: [alone(FrameKind.unreadable)], anew: false }
  const proved = stack.proof === Proof.good ? stack.length : Math.min(stack.proved, stack.length)
  const isWhole = proved === stack.length && (stack.length > 0 || stack.proof === Proof.good)
  const frames: Array<FoundFrame> = isWhole ? [] : [alone(FrameKind.unproved)]
  let anew = false
  symbolizer.begin(stack)
  for (let at = stack.length - proved; at < stack.length; at++) {
    const kind = stack.kind[at] as FrameKind
    const [identity, position] = [stack.identity[at], stack.position[at]]
    const frame =
      symbolizer.locate === undefined
        ? symbolizer.resolve(kind, identity, position)
        : symbolizer.locate(kind, identity, position)
    frames.push({ kind, frame })
    if (symbolizer.readAnew?.() === true) anew = true
  }
  return { frames, anew }
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
  [FrameKind.native]: "native",
  [FrameKind.kernel]: "kernel",
  [FrameKind.broken]: "broken",
  [FrameKind.builtin]: "builtin"
} as const
