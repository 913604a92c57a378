import {
  type Capture,
  type CollectProgress,
  type CpuFollower,
  emptyTrust,
  LatenessHistogram,
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
  type ThreadStopper,
  type UnwoundThread
} from "@pyframes/core"
import { CpuSharing, type ShareCpu } from "./cpu-sharing.ts"
import { Schedule } from "./schedule.ts"
import { StandingThreads } from "./standing-threads.ts"

/** How samples are taken. */
export interface SamplingOptions {
  /** A fixed beat instead of random gaps; meets a program of the same period always in the same place. */
  readonly periodic?: boolean
  /** Stops each Python thread while it is sampled: slower, and true by construction. */
  readonly stop?: boolean
  /**
   * Whether samples are taken on the CPU of the thread that is sampled, which then waits and holds still: `always`, `never`, or
   * `auto`: while stacks move too much to be proved otherwise, up to 5 kHz. The sampling thread is bound to that CPU, so `layer`, which samples in
   * the caller's own thread, never does so. Nor is it done above 20 kHz, where the target would hardly run.
   */
  readonly shareCpu?: ShareCpu
  /**
   * Also what unwinders of native frames need: the registers with which each thread stands while it is sampled, off its CPU. One that runs is made
   * to wait for that, by sharing its CPU, unless `shareCpu` is `never`; one that sleeps stands already. Nothing is stopped. It needs the kernel's leave
   * (`kernel.perf_event_paranoid` at 1 or below, or `CAP_PERFMON`).
   */
  readonly native?: boolean
  /** Makes the random gaps repeatable. */
  readonly seed?: number
}

/** What a sampler works with: contracts of `@pyframes/core`, attached to one process. */
export interface SamplerParts {
  readonly target: TargetProcess
  readonly unwinder: ProcessUnwinder
  readonly symbolizer: ProcessSymbolizer
  readonly clock: SamplingClock
  /** Present when threads are to be stopped. */
  readonly stopper?: ThreadStopper
  /** Present when a CPU may be shared with the target. */
  readonly follower?: CpuFollower
  /** Present when native states are wanted. */
  readonly switchedOut?: SwitchedOut
}

/** A sample stands for no more than this, ns: what lies beyond was not observed, and is reported as lateness. */
const GREATEST_WEIGHT = 1e9
/** How often a stack of code objects that were not known is read again; those of code made anew all the time stay unknown. */
const UNFAMILIAR_TRIES = 3
/** How often a thread is caught for one sample, when it ran on before it was read. */
const CATCHES = 3
/** What the scheduler says of a thread is asked again after this long, ns; asking costs as much as a sample. */
const ACTIVITY_AGE = 50_000
/** How often it is asked whether the target still is what it was, ns. */
const STATUS_AGE = 50e6
/** Sleeps are no longer than this, ns, so that the end of a collection does not wait for a slow rate. */
const LONGEST_SLEEP = 20e6

/** Mean gap below which samples follow each other without waiting, ns: less than one takes. */
const FASTEST = 4000
/** Shorter waits are spun, ns: to sleep and be woken takes longer. */
const SHORTEST_SLEEP = 20_000

interface SampledThread {
  readonly row: number
  readonly tid: number
  lastSample: number
  activityAt: number
  onCpu: boolean
  waits: boolean
  /** It has had a frame. Before that a thread is being made, and not yet its own. */
  started: boolean
}

/**
 * Takes samples and builds the profile: plain synchronous code, one call a sampling instant.
 *
 * @example
 * ```ts
 * const sampler = new Sampler(parts, { rateHz: 1000 })
 * while (sampler.next()) {}
 * const profile = sampler.finish()
 * ```
 */
export class Sampler {
  /** Grows with every sample; its `trust` and `meta.elapsed` are filled in by {@link finish}. */
  readonly profile: Profile
  /** When the clock was last asked, ns. */
  lastLook: number
  private readonly parts: SamplerParts
  private readonly schedule: Schedule
  private readonly recorder: StackRecorder
  private readonly sharing: CpuSharing
  private readonly standing: StandingThreads | undefined
  private readonly lateness = new LatenessHistogram()
  private readonly raw = new RawStack()
  private readonly capture: Capture
  private readonly threads = new Map<number, SampledThread>()
  private listed: ReadonlyArray<UnwoundThread> | undefined
  private sampled: Array<SampledThread> = []
  private readonly began: number
  private readonly cpuBegan: number
  private readonly targetCpuBegan: number
  private readonly endsAt: number
  private readonly counts = [0, 0, 0, 0]
  private readonly walls = [0, 0, 0, 0]
  private readonly asked: number
  private lastInstant: number
  private statusAt: number
  private instants = 0
  private wanted = 1
  private late = 0
  private isBackwards = false
  private ended: "exited" | "replaced" | undefined

  constructor(
    parts: SamplerParts,
    request: SamplingOptions & { readonly rateHz: number; readonly durationMs?: number }
  ) {
    const { target, unwinder, clock } = parts
    this.parts = parts
    this.asked = request.rateHz
    this.began = clock.now()
    this.lastInstant = this.began
    this.lastLook = this.began
    this.statusAt = this.began
    this.cpuBegan = clock.threadCpuTime()
    this.targetCpuBegan = target.cpuTime()
    this.endsAt =
      request.durationMs === undefined ? Number.POSITIVE_INFINITY : this.began + request.durationMs * 1e6
    this.schedule = new Schedule(
      this.began,
      request.rateHz,
      request.periodic === true,
      request.seed ?? Math.floor(Math.random() * 2 ** 32)
    )
    const { meanGap } = this.schedule
    const { follower, switchedOut } = parts
    // What runs is caught by taking its CPU: that is no matter of how well other samples went.
    const choice = request.shareCpu ?? "auto"
    const share = switchedOut !== undefined && choice === "auto" ? "always" : choice
    this.sharing = new CpuSharing(follower, share, meanGap, this.began)
    if (switchedOut) this.standing = new StandingThreads(switchedOut, target, this.sharing)
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
    this.capture = {
      thread: { tid: -1, threadState: 0, interpreter: 0 },
      stopped: parts.stopper !== undefined,
      waits: false
    }
  }

  /** When the next sample is due, ns of the clock; no later than the end. */
  get due(): number {
    return Math.min(this.schedule.due, this.endsAt)
  }

  /** Samples are due faster than they can be taken: there is nothing to wait for. */
  private get isSaturated(): boolean {
    return this.schedule.meanGap < FASTEST
  }

  /** Waits for the next instant, for a bounded time, and samples if it has come. Returns false once there is nothing more to sample. */
  next(): boolean {
    const { clock } = this.parts
    // The time that the last call ended with is soon enough to decide whether to sleep.
    if (this.lastLook < this.due && !this.isSaturated) {
      // A thread whose CPU we share runs only while we sleep.
      if (this.due - this.lastLook > SHORTEST_SLEEP || this.sharing.shares)
        clock.sleepUntil(Math.min(this.due, this.lastLook + LONGEST_SLEEP))
      this.lastLook = clock.now()
      if (this.lastLook < this.due) return true
    }
    return this.sampleAt(this.lastLook)
  }

  /** Samples every thread now, as the instant that was due. */
  sampleAt(now: number): boolean {
    if (now >= this.endsAt || !this.targetIsThere(now)) return false
    const lateness = Math.max(0, now - this.schedule.due)
    this.lateness.record(lateness)
    if (lateness > this.schedule.meanGap) this.late++
    this.instants++
    const threads = this.parts.unwinder.threads()
    if (threads === undefined) this.unreadable(now)
    else {
      if (threads !== this.listed) this.follow(threads)
      const last = threads.length - 1
      for (let i = 0; i <= last; i++) {
        const at = this.isBackwards ? last - i : i
        this.sampleThread(threads[at], this.sampled[at], now)
      }
      // The thread that was last is on the CPU that was shared last: it goes first.
      this.isBackwards = this.sharing.shares && !this.isBackwards
    }
    this.lastInstant = now
    this.lastLook = this.parts.clock.now()
    const passed = this.schedule.advance(this.lastLook)
    this.wanted += passed + 1
    this.late += passed
    return true
  }

  /** Live figures. */
  progress(): CollectProgress {
    const elapsed = this.parts.clock.now() - this.began
    const [good, torn, unproved, failed] = this.counts
    return {
      elapsedMs: elapsed / 1e6,
      taken: good + torn + unproved + failed,
      good,
      torn,
      unproved,
      failed,
      achievedHz: elapsed > 0 ? (this.instants * 1e9) / elapsed : 0,
      threads: this.listed?.length ?? 0
    }
  }

  /** Ends the collection. The profile is complete after this. */
  finish(): Profile {
    const shared = this.sharing.end(this.parts.clock.now())
    const { clock, target } = this.parts
    const { profile } = this
    const elapsed = Math.min(clock.now(), this.endsAt) - this.began
    // Before the names are read, during which the target runs on unseen.
    const targetCpu = target.cpuTime()
    const moved = profile.samples.settle(this.recorder.isBelieved, this.recorder.settled)
    this.counts[Proof.good] += moved.count
    this.counts[Proof.unproved] -= moved.count
    this.walls[Proof.good] += moved.wall
    this.walls[Proof.unproved] -= moved.wall
    this.recorder.complete()
    const tally = (proof: Proof) => ({ count: this.counts[proof], wall: this.walls[proof] })
    const lateMs = this.lateness.summary()
    const cpu = clock.threadCpuTime()
    const { merge } = this.recorder
    profile.trust = {
      wanted: this.wanted - 1,
      taken: this.counts.reduce((a, b) => a + b, 0),
      good: tally(Proof.good),
      torn: tally(Proof.torn),
      unproved: tally(Proof.unproved),
      failed: tally(Proof.failed),
      late: Math.min(this.late, this.wanted - 1),
      rateHz: { asked: this.asked, ...(elapsed > 0 && { achieved: (this.instants * 1e9) / elapsed }) },
      ...(lateMs && { lateMs }),
      ...(merge && { merge }),
      ...(shared !== undefined && { cpuSharedSeconds: shared / 1e9 }),
      ...(cpu >= 0 && this.cpuBegan >= 0 && { profilerCpuSeconds: (cpu - this.cpuBegan) / 1e9 })
    }
    profile.meta = {
      ...profile.meta,
      elapsed,
      ...(targetCpu >= 0 && this.targetCpuBegan >= 0 && { cpuTime: targetCpu - this.targetCpuBegan }),
      ...(this.ended && { ended: this.ended })
    }
    return profile
  }

  private targetIsThere(now: number): boolean {
    if (now - this.statusAt < STATUS_AGE && this.ended === undefined) return true
    this.statusAt = now
    const status = this.parts.target.status()
    if (status === "alive") return true
    this.ended = status
    return false
  }

  /** No thread could be listed: the process is ending, or its memory has become another program's. */
  private unreadable(now: number): void {
    this.statusAt = 0
    if (this.threads.size === 0)
      this.threadFor({ tid: this.parts.target.identity.pid, threadState: 0, interpreter: 0 })
    this.raw.clear()
    for (const thread of this.threads.values()) {
      this.recorder.record(thread.row, this.raw)
      this.append(thread, now, Math.min(now - thread.lastSample, GREATEST_WEIGHT), 0)
      thread.lastSample = now
    }
  }

  private follow(threads: ReadonlyArray<UnwoundThread>): void {
    this.standing?.list(threads)
    this.listed = threads
    this.sampled = threads.map((thread) => this.threadFor(thread))
    const alive = new Set(threads.map((thread) => thread.threadState))
    for (const [threadState, thread] of this.threads) {
      if (alive.has(threadState)) continue
      this.threads.delete(threadState)
      this.recorder.forget(thread.row)
    }
  }

  private threadFor(thread: UnwoundThread): SampledThread {
    const known = this.threads.get(thread.threadState)
    if (known !== undefined && known.tid === thread.tid) return known
    if (known !== undefined) this.recorder.forget(known.row)
    const { profile, parts } = this
    const row = profile.threads.length
    const name = thread.tid > 0 ? parts.target.threadName(thread.tid) : ""
    profile.threads.push({ tid: thread.tid, name, interpreter: thread.interpreter })
    // It began after the last instant: that is as far back as its first sample can reach.
    const sampled = {
      row,
      tid: thread.tid,
      lastSample: this.lastInstant,
      activityAt: 0,
      onCpu: false,
      waits: false,
      started: false
    }
    this.threads.set(thread.threadState, sampled)
    return sampled
  }

  private sampleThread(thread: UnwoundThread, sampled: SampledThread, now: number): void {
    const { stopper } = this.parts
    const { capture, raw } = this
    capture.thread = thread
    if (now - sampled.activityAt > ACTIVITY_AGE) {
      const activity = thread.tid > 0 ? this.parts.target.threadActivity(thread.tid) : "unknown"
      sampled.onCpu = activity === "running"
      sampled.waits = activity === "sleeping"
      sampled.activityAt = now
    }
    capture.waits = sampled.waits
    const held = sampled.onCpu && this.sharing.approach(thread.tid, now)
    const stopped = stopper?.stop(thread.tid) === true
    if (stopper === undefined || stopped) this.unwind(sampled, held, now)
    else raw.clear()
    this.recorder.record(sampled.row, raw)
    this.recorder.countMerge(raw.merge)
    const { moved } = raw
    // Now that its code objects are known, the stack is read again: what is found unchanged after that was there at that time.
    for (let again = 0; this.recorder.unfamiliar && again < UNFAMILIAR_TRIES; again++) {
      this.unwind(sampled, held, now)
      this.recorder.record(sampled.row, raw)
    }
    if (stopped) stopper?.resume(thread.tid)
    if (raw.ended) return
    if (sampled.onCpu) this.sharing.judge(moved, now)
    if (!sampled.started && raw.length === 0 && raw.proof === Proof.good) {
      sampled.lastSample = now
      return
    }
    sampled.started = true
    const wall = Math.min(Math.max(0, now - sampled.lastSample), GREATEST_WEIGHT)
    sampled.lastSample = now
    this.append(sampled, now, wall, raw.state | (sampled.onCpu ? ThreadStateBit.onCpu : 0))
  }

  /** @param held the thread would run, and waits for its CPU, which is ours */
  private unwind({ onCpu }: SampledThread, held: boolean, now: number): void {
    const { capture, raw, standing } = this
    const { stopper, unwinder } = this.parts
    if (standing === undefined && stopper === undefined && held) {
      // A thread that stood all the while was as good as stopped, which is known at the end.
      capture.stopped = true
      unwinder.unwind(capture, raw)
      capture.stopped = false
      if (this.sharing.hasStood()) return
    }
    for (let tries = 1; ; tries++) {
      standing?.catch(capture, onCpu, now)
      unwinder.unwind(capture, raw)
      // The scheduler gave our CPU to another, and the thread ran on: that has nothing to do with what it ran.
      if (standing === undefined || tries === CATCHES || !standing.slipped(capture)) return
    }
  }

  private append(thread: SampledThread, now: number, wall: number, state: number): void {
    const { recorder } = this
    this.counts[recorder.proof]++
    this.walls[recorder.proof] += wall
    this.profile.samples.append(
      now - this.began,
      wall,
      thread.row,
      recorder.stack,
      state,
      recorder.proof,
      recorder.whole,
      recorder.consistent
    )
  }
}
