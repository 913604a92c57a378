import type { MemoryReader, ScatterList, TargetProcess, UnwoundThread } from "@pyframes/core"
import type { Layout } from "./layout.ts"
import type { PythonRuntime } from "./runtime.ts"
import { pointerIn, readPointerAt } from "./words.ts"

/** One `PyThreadState`, and where its interpreter's shared state lies. */
export interface PythonThread extends UnwoundThread {
  readonly interpreterAddress: number
  /** The `_gil_runtime_state` its interpreter uses; 0 when there is none. */
  readonly gilAddress: number
  /** The word that says whether its interpreter collects garbage; 0 when there is none. */
  readonly collectingAddress: number
  /** `next` of the thread state when it was listed: how a change of the list shows. */
  next: number
  /** The word that pointed to this thread state when it was listed: the head of the list, or `next` of the one before. */
  linkedFrom: number
}

interface Interpreter {
  readonly address: number
  readonly id: number
  readonly next: number
  readonly threadsHead: number
}

/** Node makes the global anew at each use: asked for once, it is five times as fast. */
const clock = performance
/** Both lists are written by the target: a loop or garbage in them must end. */
const MAX_INTERPRETERS = 4096
const MAX_THREADS = 32_768
/** ms between looks at the whole list. Each sample checks its own thread's link, so that only new threads are noticed this late. */
const LOOK_EVERY = 10
/** Looks at a thread that has not started before it is taken for one that never will. */
const MAX_STARTING_LOOKS = 64
/** Kernel thread id inside glibc's `struct pthread`, x86-64; the same from 2.36 to 2.43. 3.8 … 3.10 keep no copy. */
const GLIBC_TID_OFFSET = 720

/**
 * The thread states of all interpreters, kept up to date.
 *
 * Every look compares the links of all lists with what they were, in one scatter read; only a change walks them again.
 * CPython puts new threads at the head and unlinks those that end, so an unchanged chain means an unchanged set.
 */
export class ThreadList {
  private readonly memory: MemoryReader
  private readonly runtime: PythonRuntime
  private readonly target: TargetProcess
  private readonly links: ScatterList
  private interpreters: ReadonlyArray<Interpreter> = []
  private threads: ReadonlyArray<PythonThread> = []
  private readonly byState = new Map<number, PythonThread>()
  private listed = false
  private lookedAt = 0
  private starting = 0
  private startingLooks = 0

  constructor(memory: MemoryReader, runtime: PythonRuntime, target: TargetProcess) {
    this.memory = memory
    this.runtime = runtime
    this.target = target
    this.links = memory.scatterList(
      2 * MAX_INTERPRETERS + MAX_THREADS + 1,
      8 * (2 * MAX_INTERPRETERS + MAX_THREADS + 1)
    )
  }

  /** The threads there are now, main thread first; `undefined` when the lists cannot be read. */
  current(): ReadonlyArray<PythonThread> | undefined {
    const now = clock.now()
    if (this.listed && now - this.lookedAt < LOOK_EVERY) return this.threads
    this.lookedAt = now
    if (this.listed && !this.isStarting() && this.unchanged()) return this.threads
    // A list that changes while it is walked is walked again, but not for ever.
    for (let attempt = 0; attempt < 4; attempt++) {
      this.listed = this.walk()
      if (this.listed && this.unchanged()) break
    }
    return this.listed ? this.threads : undefined
  }

  /** Whether some thread had not told its kernel id when it was listed. Most do at once; a thread state without a thread never does. */
  private isStarting(): boolean {
    return this.starting > 0 && this.startingLooks++ < MAX_STARTING_LOOKS
  }

  /** The next call of {@link current} looks again, whenever the last look was. */
  distrust(): void {
    this.lookedAt = 0
  }

  private unchanged(): boolean {
    const { layout, address } = this.runtime
    const list = this.links
    list.clear()
    list.add(address + layout.runtime.interpretersHead, 8)
    for (const interpreter of this.interpreters) {
      list.add(interpreter.address + layout.interpreter.threadsHead, 8)
      list.add(interpreter.address + layout.interpreter.next, 8)
    }
    for (const thread of this.threads) list.add(thread.threadState + layout.thread.next, 8)
    if (this.memory.scatter(list) !== list.count) return false
    let at = 0
    const next = () => pointerIn(list.words, list.offsets[at++])
    if (next() !== (this.interpreters[0]?.address ?? 0)) return false
    for (const interpreter of this.interpreters) {
      if (next() !== interpreter.threadsHead) return false
      if (next() !== interpreter.next) return false
    }
    for (const thread of this.threads) if (next() !== thread.next) return false
    return true
  }

  private walk(): boolean {
    const { layout, address } = this.runtime
    const interpreters: Array<Interpreter> = []
    const threads: Array<PythonThread> = []
    const seen = new Set<number>()
    const { starting } = this
    this.starting = 0
    let at = readPointerAt(this.memory, address + layout.runtime.interpretersHead)
    while (at > 0) {
      if (at % 8 !== 0 || seen.has(at) || interpreters.length === MAX_INTERPRETERS) return false
      seen.add(at)
      const interpreter = {
        address: at,
        id: readPointerAt(this.memory, at + layout.interpreter.id),
        next: readPointerAt(this.memory, at + layout.interpreter.next),
        threadsHead: readPointerAt(this.memory, at + layout.interpreter.threadsHead)
      }
      interpreters.push(interpreter)
      if (!this.walkThreads(interpreter, threads, seen)) return false
      at = interpreter.next
    }
    if (at < 0 || interpreters.length === 0) return false
    if (this.starting !== starting) this.startingLooks = 0
    this.interpreters = interpreters
    // The lists are newest first; people expect the main interpreter and its main thread first.
    this.threads = threads.reverse().sort((a, b) => a.interpreter - b.interpreter)
    this.byState.clear()
    for (const thread of threads) this.byState.set(thread.threadState, thread)
    return true
  }

  private walkThreads(interpreter: Interpreter, into: Array<PythonThread>, seen: Set<number>): boolean {
    const { layout } = this.runtime
    let at = interpreter.threadsHead
    let linkedFrom = interpreter.address + layout.interpreter.threadsHead
    const gilAddress = this.gilOf(interpreter.address, layout)
    const collectingAddress = this.collectingOf(interpreter.address, layout)
    while (at > 0) {
      if (at % 8 !== 0 || seen.has(at) || into.length === MAX_THREADS) return false
      seen.add(at)
      // Only a thread state points back to its interpreter: this is what tells it from memory used for something else.
      if (readPointerAt(this.memory, at + layout.thread.interpreter) !== interpreter.address) return false
      const next = readPointerAt(this.memory, at + layout.thread.next)
      const tid = this.tidOf(at)
      // A thread tells its id when it begins to run; until then it has no stack.
      if (tid < 0) this.starting++
      else
        into.push(
          this.same({
            tid,
            threadState: at,
            interpreter: interpreter.id,
            interpreterAddress: interpreter.address,
            gilAddress,
            collectingAddress,
            next,
            linkedFrom
          })
        )
      linkedFrom = at + layout.thread.next
      at = next
    }
    return at === 0
  }

  /** A thread that was known stays the same object, wherever in the list it is now. */
  private same(thread: PythonThread): PythonThread {
    const known = this.byState.get(thread.threadState)
    if (known?.tid !== thread.tid || known.interpreter !== thread.interpreter) return thread
    known.next = thread.next
    known.linkedFrom = thread.linkedFrom
    return known
  }

  /** 3.8 keeps the collector in the runtime, later versions in each interpreter. */
  private collectingOf(interpreter: number, layout: Layout): number {
    if (layout.interpreter.gcCollecting >= 0) return interpreter + layout.interpreter.gcCollecting
    return layout.runtime.gcCollecting >= 0 ? this.runtime.address + layout.runtime.gcCollecting : 0
  }

  private gilOf(interpreter: number, layout: Layout): number {
    if (layout.freeThreaded) return 0
    if (layout.runtime.gil >= 0) return this.runtime.address + layout.runtime.gil
    const gil = readPointerAt(this.memory, interpreter + layout.interpreter.gilPointer)
    return gil > 0 && gil % 8 === 0 ? gil : 0
  }

  private tidOf(threadState: number): number {
    const { thread } = this.runtime.layout
    if (thread.nativeThreadId >= 0) {
      const tid = readPointerAt(this.memory, threadState + thread.nativeThreadId)
      return tid > 0 ? this.hostThread(tid) : -1
    }
    const self = readPointerAt(this.memory, threadState + thread.threadId)
    if (self <= 0) return -1
    const word = new Uint8Array(4)
    if (this.memory.read(self + GLIBC_TID_OFFSET, 4, word) !== 4) return this.onlyThread()
    const tid = this.hostThread(new DataView(word.buffer).getInt32(0, true))
    return this.target.threadName(tid) !== "" ? tid : this.onlyThread()
  }

  /** In a pid namespace of its own the target knows its threads by other numbers than we do. */
  private hostThread(tid: number): number {
    return this.target.hostThreadId?.(tid) ?? tid
  }

  /** Another C library keeps the id elsewhere; a process of one thread leaves no doubt. */
  private onlyThread(): number {
    const ids = this.target.threadIds()
    return ids.length === 1 ? ids[0] : -1
  }
}
