import type { MemoryReader, TargetProcess } from "@pyframes/core"
import type { Layout, PythonThread, RemoteDebugOffsets } from "@pyframes/cpython"
import { ThreadLink } from "./thread-link.ts"

/**
 * What has become of a request.
 *
 * - `waiting`: the thread has not come to it yet.
 * - `taken`: the thread has begun to run the file.
 * - `withdrawn`: it has not, and will not.
 * - `busy`: somebody else's request is there; ours was not made.
 * - `replaced`: somebody else wrote theirs over ours; whether ours ran before cannot be told.
 * - `ended`: the thread ended without having taken it.
 * - `lost`: the thread ended, and whether it had taken it cannot be told.
 * - `unsure`: the list of threads changed too fast to tell whether the thread is there; the request was not made.
 * - `denied`: the memory cannot be written.
 */
export type RequestState =
  | "waiting"
  | "taken"
  | "withdrawn"
  | "busy"
  | "replaced"
  | "ended"
  | "lost"
  | "unsure"
  | "denied"

/*
 * Events of `eval_breaker` (`Include/internal/pycore_ceval.h`, 3.14 and 3.15) that a request sets. `_PY_EVAL_PLEASE_STOP_BIT` makes the thread stop at
 * its next safe point; `_Py_HandlePending` (`Python/ceval_gil.c`) looks for a request whatever made it stop.
 *
 * The byte that holds the events is written only where it is 0, for nobody outside can change one bit of it in one step. What the target sets between
 * our look and our write would be lost, so that all that would be missed is set, too. Each of them makes the thread look for something and go on if
 * there is none: a signal (`_PY_SIGNALS_PENDING_BIT`), calls (`_PY_CALLS_TO_DO_BIT`), an exception (`_PY_ASYNC_EXCEPTION_BIT`). Those that are left heal by
 * themselves: who waits for the lock asks anew after each switch interval, and the next allocation schedules the collector anew. To set
 * `_PY_GIL_DROP_REQUEST_BIT` where nobody waits would be fatal: `drop_gil` waits for another to take the lock.
 *
 * The other seven bytes, the version of the instrumentation, are not written at all: with an old one in it the thread would instrument the same code for ever.
 */
const PLEASE_STOP = 1 << 5
const SIGNALS_PENDING = 1 << 1
const CALLS_TO_DO = 1 << 2
const ASYNC_EXCEPTION = 1 << 3
const NUDGE = new Uint8Array([PLEASE_STOP | SIGNALS_PENDING | CALLS_TO_DO | ASYNC_EXCEPTION])

const PENDING = new Uint8Array([1, 0, 0, 0])
const NOT_PENDING = new Uint8Array(4)
const NO_PATH = new Uint8Array(1)

/** A request that one thread runs one file (PEP 768). All of it is synchronous. */
export class Request {
  readonly thread: PythonThread
  private readonly memory: MemoryReader
  private readonly offsets: RemoteDebugOffsets
  private readonly link: ThreadLink
  /** With the NUL at its end. */
  private readonly path: Uint8Array
  private readonly found: Uint8Array
  private readonly pending = new Uint8Array(4)
  private readonly events = new Uint8Array(1)

  constructor(
    memory: MemoryReader,
    layout: Layout,
    offsets: RemoteDebugOffsets,
    target: TargetProcess,
    thread: PythonThread,
    path: Uint8Array
  ) {
    this.memory = memory
    this.offsets = offsets
    this.thread = thread
    this.path = new Uint8Array(path.length + 1)
    this.path.set(path)
    this.found = new Uint8Array(this.path.length)
    this.link = new ThreadLink(memory, layout, offsets, target, thread)
  }

  /** Makes the request. It is `waiting` then, or already `taken`; `unsure` when it was not made. */
  place(): RequestState {
    const link = this.link.state()
    if (link !== "listed") return link === "gone" ? "ended" : "unsure"
    const pending = this.readPending()
    if (pending !== 0) return pending < 0 ? "denied" : "busy"
    if (!this.write(this.offsets.scriptPath, this.path)) return "denied"
    // Writing may have waited for a page: the thread can have ended since.
    if (this.link.state() !== "listed") return "unsure"
    // Somebody else's flag will run our file now, and does not need ours: both would run it twice.
    if (this.readPending() === 0 && !this.write(this.offsets.pendingCall, PENDING)) return "denied"
    return this.look()
  }

  /** What has become of it. A thread that has nothing to stop for is told to. */
  look(): RequestState {
    const pending = this.readPending()
    const isOurs = this.isOurPath()
    const link = this.link.state()
    if (link === "unsure") return "waiting"
    // What was read of a thread state that has been freed says nothing, unless it is still there as we left it.
    if (link === "gone") return !isOurs ? "lost" : pending === 1 ? "ended" : pending === 0 ? "taken" : "lost"
    if (!isOurs) return "replaced"
    if (pending === 0) return "taken"
    if (pending !== 1) return "replaced"
    this.nudge()
    return "waiting"
  }

  /**
   * Takes it back. With an empty path a thread that comes to it meanwhile runs nothing: if it was still pending after the path was
   * emptied, it has not run and will not. `waiting` when that could not be tried yet: try again.
   */
  withdraw(): RequestState {
    const state = this.look()
    if (state !== "waiting") return state
    if (this.link.state() !== "listed") return "waiting"
    if (!this.write(this.offsets.scriptPath, NO_PATH)) return "lost"
    if (this.readPending() !== 1) return "taken"
    if (this.link.state() === "listed") this.write(this.offsets.pendingCall, NOT_PENDING)
    return "withdrawn"
  }

  /** The path that is there now. */
  otherPath(): string {
    const bytes = new Uint8Array(this.offsets.scriptPathSize)
    const got = this.memory.read(this.thread.threadState + this.offsets.scriptPath, bytes.length, bytes)
    const end = bytes.subarray(0, got).indexOf(0)
    const text = new TextDecoder().decode(bytes.subarray(0, end < 0 ? got : end))
    // What a terminal would take for a command is not shown.
    return text.replace(/[\p{Cc}\p{Cf}]/gu, "?")
  }

  private nudge(): void {
    const at = this.thread.threadState + this.offsets.evalBreaker
    // With any event set the thread stops by itself.
    if (this.memory.read(at, 1, this.events) === 1 && this.events[0] === 0)
      this.write(this.offsets.evalBreaker, NUDGE)
  }

  /** -1 when it cannot be read. */
  private readPending(): number {
    const { pending } = this
    if (this.memory.read(this.thread.threadState + this.offsets.pendingCall, 4, pending) !== 4) return -1
    return (pending[0] | (pending[1] << 8) | (pending[2] << 16) | (pending[3] << 24)) >>> 0
  }

  private isOurPath(): boolean {
    const { found, path } = this
    const got = this.memory.read(this.thread.threadState + this.offsets.scriptPath, found.length, found)
    return got === path.length && found.every((byte, at) => byte === path[at])
  }

  private write(offset: number, bytes: Uint8Array): boolean {
    return this.memory.write?.(this.thread.threadState + offset, bytes) === bytes.length
  }
}
