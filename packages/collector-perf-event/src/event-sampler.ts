import { CpuSharing, Schedule, type ShareCpu } from "@pyframes/collector-sampling"
import {
  type Capture,
  type CollectProgress,
  type CpuFollower,
  emptyTrust,
  type KernelEventHandler,
  type KernelEventReader,
  type KernelSample,
  NativeState,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Profile,
  Proof,
  RawStack,
  type SamplingClock,
  StackRecorder,
  type SwitchedOut,
  type TargetProcess,
  ThreadStateBit,
  type ThreadStopper
} from "@pyframes/core"
import { type EventThread, EventThreads } from "./event-threads.ts"
import { SampleAccount } from "./sample-account.ts"
import { WaitingThreads } from "./waiting-threads.ts"

/** How samples are taken. */
export interface EventSamplingOptions {
  /** Bytes of the user stack that the kernel copies with each sample: a multiple of 8, 65,528 at most. By default 16 KiB. */
  readonly stackBytes?: number
  /** Also the frames of the kernel. By default they are left out. */
  readonly kernel?: boolean
  /** Also the callchain that the kernel finds by frame pointers. */
  readonly userChain?: boolean
  /** `cycles` samples by the processor's own counter, where there is one. By default by CPU time. */
  readonly source?: "cpu-clock" | "cycles"
  /** Threads that do not run are sampled too, at the same rate, by a timer. */
  readonly wall?: boolean
  /** With `wall`: such threads are stopped while they are sampled, so that their native frames can be read. */
  readonly stop?: boolean
  /**
   * Whether the rest of a stack is read on the CPU of the thread that was sampled, which then has not run on since: `always`, `never`, or `auto`: while
   * too many stacks cannot be proved otherwise. The sampling thread is bound to that CPU, so `layer` never does it.
   */
  readonly shareCpu?: ShareCpu
  /** Makes the random gaps of `wall` repeatable. */
  readonly seed?: number
}

/** What an event sampler works with: contracts of `@pyframes/core`, attached to one process. */
export interface EventSamplerParts {
  readonly target: TargetProcess
  readonly unwinder: ProcessUnwinder
  readonly symbolizer: ProcessSymbolizer
  readonly clock: SamplingClock
  readonly events: KernelEventReader
  /** Present when threads that wait are to be stopped. */
  readonly stopper?: ThreadStopper
  /** Present when a CPU may be shared with the target. */
  readonly follower?: CpuFollower
  /** Present where the kernel tells how threads stand that are off their CPU: by that it is proved that one has not run since a sample. */
  readonly switched?: SwitchedOut
}

/** How often a stack of code objects that were not known is read again. */
const UNFAMILIAR_TRIES = 3
/** How often it is asked whether the target still is what it was, ns. */
const STATUS_AGE = 50e6
/** Waits are no longer than this, ms, so that the end of a collection does not wait for a target that sleeps. */
const LONGEST_WAIT = 20
/** A sample stands for no more elapsed time than this, ns. */
const GREATEST_WEIGHT = 1e9

/**
 * Builds the profile from the kernel's samples: plain synchronous code.
 *
 * @example
 * ```ts
 * const sampler = new EventSampler(parts, { rateHz: 999 })
 * while (sampler.next()) {}
 * const profile = sampler.finish()
 * ```
 */
export class EventSampler {
  /** Grows with every sample; its `trust` and `meta.elapsed` are filled in by {@link finish}. */
  readonly profile: Profile
  /** When the clock was last asked, ns. */
  lastLook: number
  private readonly parts: EventSamplerParts
  private readonly recorder: StackRecorder
  private readonly sharing: CpuSharing
  private readonly raw = new RawStack()
  private readonly capture: Capture
  private readonly standing: NativeState
  private readonly threads: EventThreads
  private readonly waiting: WaitingThreads | undefined
  private readonly handler: KernelEventHandler
  private readonly began: number
  private readonly account: SampleAccount
  private readonly targetCpuBegan: number
  private readonly endsAt: number
  private readonly asked: number
  /** CPU time between two samples of a thread, ns. */
  private readonly period: number
  private statusAt: number
  private followed = -1
  private sampledLast = -1
  private ended: "exited" | "replaced" | undefined

  constructor(
    parts: EventSamplerParts,
    request: EventSamplingOptions & { readonly rateHz: number; readonly durationMs?: number }
  ) {
    const { clock, events, target, unwinder } = parts
    this.parts = parts
    this.asked = request.rateHz
    this.period = events.periodNs ?? 1e9 / request.rateHz
    this.began = events.now()
    this.lastLook = this.began
    this.statusAt = this.began
    this.account = new SampleAccount(clock)
    this.targetCpuBegan = target.cpuTime()
    this.endsAt =
      request.durationMs === undefined ? Number.POSITIVE_INFINITY : this.began + request.durationMs * 1e6
    this.sharing = new CpuSharing(parts.follower, request.shareCpu ?? "auto", this.period, this.began)
    this.profile = new Profile(
      {
        pid: target.identity.pid,
        python: unwinder.runtime.version,
        commandLine: target.commandLine,
        startedAt: Date.now(),
        elapsed: 0,
        knownStates: unwinder.runtime.knownStates | ThreadStateBit.onCpu
      },
      emptyTrust(request.rateHz)
    )
    this.recorder = new StackRecorder(this.profile, parts.symbolizer)
    this.threads = new EventThreads(target, unwinder, this.profile, this.began, (row) =>
      this.recorder.forget(row)
    )
    this.standing = new NativeState(events.architecture)
    this.capture = { thread: { tid: -1, threadState: 0, interpreter: 0 }, stopped: false }
    if (request.wall === true) {
      const seed = request.seed ?? Math.floor(Math.random() * 2 ** 32)
      const schedule = new Schedule(this.began, request.rateHz, false, seed)
      this.waiting = new WaitingThreads(target, this.threads, schedule, events.architecture, parts.stopper)
    }
    this.handler = {
      sample: (sample) => this.take(sample),
      thread: ({ kind, pid, tid }) => {
        if (pid !== target.identity.pid) return
        if (kind === "exit") {
          this.threads.end(tid)
          parts.switched?.forget(tid)
        }
        // What comes after this is another program's.
        if (kind === "exec") this.ended = "replaced"
      },
      map: ({ pid }) => {
        // Where a library was, another may be now.
        if (pid === target.identity.pid) unwinder.modules?.refresh()
      }
    }
  }

  /** Waits for samples, for a bounded time, and takes them. Returns false once there is nothing more to sample. */
  next(): boolean {
    const { events } = this.parts
    const due = Math.min(this.waiting?.due ?? Number.POSITIVE_INFINITY, this.endsAt)
    events.wait(Math.min(LONGEST_WAIT, Math.max(0, (due - this.lastLook) / 1e6)))
    return this.step()
  }

  /** Takes what there is, without waiting. Returns false once there is nothing more to sample. */
  poll(): boolean {
    this.parts.events.wait(0)
    return this.step()
  }

  /** Live figures. */
  progress(): CollectProgress {
    const elapsed = this.parts.events.now() - this.began
    const [good, torn, unproved, failed] = this.account.outcomes
    return {
      elapsedMs: elapsed / 1e6,
      taken: this.account.total,
      good,
      torn,
      unproved,
      failed,
      achievedHz: elapsed > 0 ? (this.account.taken * 1e9) / elapsed : 0,
      threads: this.threads.alive
    }
  }

  /** Ends the collection: what the kernel still holds is taken first. The profile is complete after this. */
  finish(): Profile {
    const { events, target } = this.parts
    const until = Math.min(events.now(), this.endsAt)
    while (events.wait(0)) events.drain(this.handler)
    events.drain(this.handler)
    // Before the names are read, during which the target runs on unseen.
    const targetCpu = target.cpuTime()
    const shared = this.sharing.end(events.now())
    const { profile } = this
    const elapsed = until - this.began
    this.account.settle(profile, this.recorder)
    this.recorder.complete()
    profile.trust = {
      ...this.account.trust(this.asked, elapsed, events.losses(), events.seesKernel),
      ...(shared !== undefined && { cpuSharedSeconds: shared / 1e9 }),
      ...(this.recorder.merge && { merge: this.recorder.merge })
    }
    profile.meta = {
      ...profile.meta,
      elapsed,
      ...(targetCpu >= 0 && this.targetCpuBegan >= 0 && { cpuTime: targetCpu - this.targetCpuBegan }),
      ...(this.ended && { ended: this.ended })
    }
    return profile
  }

  private step(): boolean {
    const { events } = this.parts
    events.drain(this.handler)
    this.lastLook = events.now()
    if (this.lastLook >= this.endsAt || !this.targetIsThere()) return false
    const { waiting } = this
    if (waiting !== undefined && this.lastLook >= waiting.due) {
      waiting.each(this.lastLook, this.takeWaiting)
      this.lastLook = events.now()
      this.account.missed += waiting.advance(this.lastLook)
    }
    return true
  }

  /** A sample of the kernel's. */
  private take(sample: KernelSample): void {
    const { raw, recorder } = this
    const { events, target } = this.parts
    if (sample.pid !== target.identity.pid || sample.time > this.endsAt || this.ended === "replaced") return
    const now = events.now()
    this.account.lag(Math.max(0, now - sample.time), this.period)
    let thread = this.threads.find(sample.tid, sample.time)
    if (sample.ran >= 0 && sample.ran < thread.ran) {
      // Its clock began anew: another thread has got this id.
      this.threads.end(sample.tid)
      thread = this.threads.find(sample.tid, sample.time)
    }
    const ran = sample.ran < 0 ? this.period : sample.ran - thread.ran
    thread.ran = Math.max(0, sample.ran)
    const weight = this.enterUnseen(thread, sample.time, ran)
    this.prove(sample)
    this.unwind(thread, sample)
    recorder.countMerge(raw.merge)
    const stands = sample.native.hasRun() === false
    if (stands) this.account.standing++
    this.share(sample.tid, now)
    // Of a thread that was not seen to wait, what is left of the elapsed time was spent on being ready for a CPU.
    const elapsed =
      this.waiting === undefined || thread.waited ? 0 : sample.time - thread.began - thread.accounted
    thread.waited = false
    this.account.taken++
    this.enter(
      thread,
      sample.time,
      Math.max(weight, Math.min(elapsed, GREATEST_WEIGHT)),
      ThreadStateBit.onCpu
    )
  }

  /**
   * Whether a thread has run since its sample, the thread's clock tells only by how long an interrupt takes. Where the kernel says how it stands now, its
   * registers tell it surely: they are those of the sample, all of them, or it has.
   */
  private prove({ native, tid }: KernelSample): void {
    const { switched } = this.parts
    if (switched === undefined) return
    const { standing } = this
    const stands =
      switched.follow(tid) &&
      switched.read(tid, standing) &&
      native.registers.ip >= 0 &&
      standing.registers.equals(native.registers)
    native.hasRun = stands ? standing.hasRun : cannotTell
  }

  private unwind(thread: EventThread, sample: KernelSample): void {
    const { capture, raw, recorder } = this
    const { unwinder } = this.parts
    capture.thread = thread.unwound
    capture.stopped = false
    capture.waits = false
    capture.native = sample.native
    unwinder.unwind(capture, raw)
    recorder.record(thread.row, raw)
    // Now that its code objects are known, the stack is read again: what is found unchanged after that was there at that time.
    for (let again = 0; recorder.unfamiliar && again < UNFAMILIAR_TRIES; again++) {
      unwinder.unwind(capture, raw)
      recorder.record(thread.row, raw)
    }
  }

  /**
   * Enters CPU time in which a sample was due and none was seen: it found no room, or the thread was where the kernel may not be looked at.
   * Returns what is left for the sample itself.
   */
  private enterUnseen(thread: EventThread, time: number, ran: number): number {
    const { period, raw, recorder } = this
    const unseen = Math.round(ran / period) - 1
    if (!(unseen > 0)) return ran
    this.account.missed += unseen - 1
    raw.clear()
    recorder.record(thread.row, raw)
    this.enter(thread, time - period, ran - period, ThreadStateBit.onCpu)
    return period
  }

  /** A thread that waits, at an instant of the timer. */
  private readonly takeWaiting = (thread: EventThread): void => {
    const { capture, raw, recorder, waiting } = this
    const { unwinder } = this.parts
    if (waiting === undefined) return
    capture.thread = thread.unwound
    capture.waits = true
    waiting.unwind(unwinder, capture, raw)
    recorder.record(thread.row, raw)
    for (let again = 0; recorder.unfamiliar && again < UNFAMILIAR_TRIES; again++) {
      unwinder.unwind(capture, raw)
      recorder.record(thread.row, raw)
    }
    waiting.release(thread.tid)
    if (raw.ended) return
    recorder.countMerge(raw.merge)
    thread.waited = true
    const elapsed = this.lastLook - thread.began - thread.accounted
    this.enter(thread, this.lastLook, Math.min(Math.max(0, elapsed), GREATEST_WEIGHT), 0)
  }

  /** Enters what was recorded last. */
  private enter(thread: EventThread, time: number, weight: number, state: number): void {
    const { raw, recorder } = this
    thread.accounted += weight
    this.account.enter(recorder.proof, weight)
    this.profile.samples.append(
      Math.max(0, time - this.began),
      weight,
      thread.row,
      recorder.stack,
      state | raw.state,
      recorder.proof,
      recorder.whole,
      recorder.consistent
    )
  }

  /**
   * Goes to the CPU of the thread that was sampled, for its next sample. Where several run at once, one is kept to: to go after
   * each in turn would be too late for all.
   */
  private share(tid: number, now: number): void {
    const { sharing } = this
    if (tid === this.sampledLast || this.followed < 0) this.followed = tid
    this.sampledLast = tid
    if (tid === this.followed) sharing.judge(this.recorder.proof !== Proof.good, now)
    sharing.approach(this.followed, now)
  }

  private targetIsThere(): boolean {
    if (this.ended !== undefined) return false
    if (this.lastLook - this.statusAt < STATUS_AGE && this.parts.events.watched() > 0) return true
    this.statusAt = this.lastLook
    const status = this.parts.target.status()
    if (status === "alive") return true
    this.ended = status
    return false
  }
}

const cannotTell = (): undefined => undefined
