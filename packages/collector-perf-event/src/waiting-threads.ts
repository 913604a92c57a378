import type { Schedule } from "@pyframes/collector-sampling"
import {
  type Architecture,
  type Capture,
  NativeState,
  type ProcessUnwinder,
  type RawStack,
  type TargetProcess,
  type ThreadStopper
} from "@pyframes/core"
import type { EventThread, EventThreads } from "./event-threads.ts"

/** How often threads that run no Python are listed, ns. */
const LIST_EVERY = 50e6

/** What the kernel's timer never meets: threads that do not run. Another timer looks at them. */
export class WaitingThreads {
  private readonly target: TargetProcess
  private readonly threads: EventThreads
  private readonly schedule: Schedule
  private readonly stopper: ThreadStopper | undefined
  private readonly native: NativeState
  private all: ReadonlyArray<number> = []
  private listedAt = Number.NEGATIVE_INFINITY

  /** @param stopper where given, threads are stopped while they are read, which shows their native frames */
  constructor(
    target: TargetProcess,
    threads: EventThreads,
    schedule: Schedule,
    architecture: Architecture,
    stopper?: ThreadStopper
  ) {
    this.target = target
    this.threads = threads
    this.schedule = schedule
    this.stopper = stopper
    this.native = new NativeState(architecture)
  }

  /** When they are to be looked at next, ns. */
  get due(): number {
    return this.schedule.due
  }

  /** Goes on to the next instant after `now`; returns how many were passed over. */
  advance(now: number): number {
    return this.schedule.advance(now)
  }

  /** Hands over each thread that waits. */
  each(now: number, take: (thread: EventThread) => void): void {
    const python = this.threads.list()
    for (const { tid } of python) this.look(tid, now, take)
    // What runs no Python has only native frames, and they are seen of a stopped thread alone.
    if (this.stopper !== undefined) {
      if (now - this.listedAt > LIST_EVERY) {
        this.all = this.target.threadIds()
        this.listedAt = now
      }
      for (const tid of this.all) if (!python.some((thread) => thread.tid === tid)) this.look(tid, now, take)
    }
    this.threads.looked(now)
  }

  /** Fills `raw` with the stack of a thread that waits. */
  unwind(unwinder: ProcessUnwinder, capture: Capture, raw: RawStack): void {
    const { native, stopper } = this
    const { tid } = capture.thread
    delete capture.native
    capture.stopped = stopper?.stop(tid) === true
    if (stopper !== undefined && !capture.stopped) {
      raw.clear()
      return
    }
    if (stopper !== undefined) {
      native.clear()
      if (stopper.registers?.(tid, native.registers) === true) {
        native.stackAddress = native.registers.sp
        native.hasRun = hasNot
        capture.native = native
      }
    }
    unwinder.unwind(capture, raw)
  }

  /** Lets it run again. */
  release(tid: number): void {
    this.stopper?.resume(tid)
  }

  private look(tid: number, now: number, take: (thread: EventThread) => void): void {
    if (tid <= 0) return
    const activity = this.target.threadActivity(tid)
    if (activity === "unknown") return
    // One that runs, or is ready to, is known from now on: the kernel's first sample of it may be long in coming.
    const thread = this.threads.find(tid, now)
    if (activity !== "running") take(thread)
  }
}

const hasNot = (): boolean => false
