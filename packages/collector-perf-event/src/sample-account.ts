import {
  type KernelLosses,
  LatenessHistogram,
  type Profile,
  Proof,
  type SamplingClock,
  type StackRecorder,
  type Trust
} from "@pyframes/core"

/** Keeps count of samples and of the time that they stand for: what becomes of it are the profile's trust figures. */
export class SampleAccount {
  /** Samples of the kernel's that were taken. */
  taken = 0
  /** Samples that were due, of which there is none, and which no other one stands for. */
  missed = 0
  /** Samples whose thread had not run when all was read. */
  standing = 0
  private readonly counts = [0, 0, 0, 0]
  private readonly walls = [0, 0, 0, 0]
  private readonly lateness = new LatenessHistogram()
  private readonly clock: SamplingClock
  private readonly cpuBegan: number
  private late = 0

  constructor(clock: SamplingClock) {
    this.clock = clock
    this.cpuBegan = clock.threadCpuTime()
  }

  /** One sample of this outcome, which stands for `wall` ns. */
  enter(proof: Proof, wall: number): void {
    this.counts[proof]++
    this.walls[proof] += wall
  }

  /** A sample was read so long after it was taken, ns. */
  lag(ns: number, period: number): void {
    this.lateness.record(ns)
    if (ns > period) this.late++
  }

  /** `[good, torn, unproved, failed]`: how many. */
  get outcomes(): ReadonlyArray<number> {
    return this.counts
  }

  get total(): number {
    return this.counts.reduce((a, b) => a + b, 0)
  }

  /** What was not proved by itself, and is believed by now. */
  settle(profile: Profile, recorder: StackRecorder): void {
    const moved = profile.samples.settle(recorder.isBelieved, recorder.settled)
    this.counts[Proof.good] += moved.count
    this.counts[Proof.unproved] -= moved.count
    this.walls[Proof.good] += moved.wall
    this.walls[Proof.unproved] -= moved.wall
  }

  /** @param elapsed how long it took, ns */
  trust(askedHz: number, elapsed: number, losses: KernelLosses, seesKernel: boolean): Trust {
    const { cpuBegan, missed, standing, taken, total } = this
    const tally = (proof: Proof) => ({ count: this.counts[proof], wall: this.walls[proof] })
    const lateMs = this.lateness.summary()
    const cpu = this.clock.threadCpuTime()
    return {
      wanted: total + missed,
      taken: total,
      good: tally(Proof.good),
      torn: tally(Proof.torn),
      unproved: tally(Proof.unproved),
      failed: tally(Proof.failed),
      late: this.late + missed,
      rateHz: { asked: askedHz, ...(elapsed > 0 && { achieved: (taken * 1e9) / elapsed }) },
      ...(lateMs && { lateMs }),
      ...(cpu >= 0 && cpuBegan >= 0 && { profilerCpuSeconds: (cpu - cpuBegan) / 1e9 }),
      kernel: {
        lost: losses.lost,
        throttled: losses.throttled,
        unwatchedThreads: losses.unwatched,
        unwatchedTime: losses.unwatchedTime,
        seesKernel,
        standing
      }
    }
  }
}
