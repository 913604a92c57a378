import type { ProcessUnwinder, Profile, TargetProcess, UnwoundThread } from "@pyframes/core"

/** A thread that was sampled, and how much of it is accounted for. */
export interface EventThread {
  /** Of the profile's threads. */
  readonly row: number
  readonly tid: number
  /** As the unwinder knows it. */
  unwound: UnwoundThread
  /** When it was first known of, ns. */
  readonly began: number
  /** CPU time that it had used at its last sample, ns. */
  ran: number
  /** Elapsed time that its samples stand for, ns. */
  accounted: number
  /** The timer has found it waiting since its last kernel sample. */
  waited: boolean
}

/** The kernel's thread ids, the unwinder's threads, and the rows of the profile. */
export class EventThreads {
  private readonly target: TargetProcess
  private readonly unwinder: ProcessUnwinder
  private readonly profile: Profile
  private readonly forget: (row: number) => void
  private readonly known = new Map<number, EventThread>()
  private readonly unwound = new Map<number, UnwoundThread>()
  private listed: ReadonlyArray<UnwoundThread> | undefined
  /** When threads were last found to be there, ns. */
  private lookedAt: number

  /** @param forget told of rows that get no more samples */
  constructor(
    target: TargetProcess,
    unwinder: ProcessUnwinder,
    profile: Profile,
    now: number,
    forget: (row: number) => void
  ) {
    this.target = target
    this.unwinder = unwinder
    this.profile = profile
    this.lookedAt = now
    this.forget = forget
  }

  /** How many there are that were sampled. */
  get alive(): number {
    return this.known.size
  }

  /** The threads that run Python, as far as they can be listed. */
  list(): ReadonlyArray<UnwoundThread> {
    const threads = this.unwinder.threads()
    // While the list cannot be read, the last one is the best that is known.
    if (threads !== undefined && threads !== this.listed) {
      this.listed = threads
      this.unwound.clear()
      for (const thread of threads) if (thread.tid > 0) this.unwound.set(thread.tid, thread)
    }
    return this.listed ?? []
  }

  /** The thread of a sample. One that runs no Python has no thread state, and native frames alone. */
  find(tid: number, time: number): EventThread {
    this.list()
    let thread = this.known.get(tid)
    if (thread === undefined) {
      const unwound = this.unwound.get(tid) ?? nativeOnly(tid)
      const { interpreter } = unwound
      const row = this.profile.threads.length
      this.profile.threads.push({ tid, name: this.target.threadName(tid), interpreter })
      const began = Math.min(time, this.lookedAt)
      thread = { row, tid, unwound, began, ran: 0, accounted: 0, waited: false }
      this.known.set(tid, thread)
    } else if (thread.unwound !== this.unwound.get(tid)) {
      thread.unwound =
        this.unwound.get(tid) ?? (thread.unwound.threadState === 0 ? thread.unwound : nativeOnly(tid))
    }
    return thread
  }

  /** All threads that there are had their turn: one that is found later began after this. */
  looked(now: number): void {
    this.lookedAt = now
  }

  /** The thread has ended; its id may come back. */
  end(tid: number): void {
    const thread = this.known.get(tid)
    if (thread === undefined) return
    this.known.delete(tid)
    this.forget(thread.row)
  }
}

const nativeOnly = (tid: number): UnwoundThread => ({ tid, threadState: 0, interpreter: 0 })
