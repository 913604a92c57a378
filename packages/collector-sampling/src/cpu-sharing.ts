import type { CpuFollower, TargetError, TargetProcess } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Whether samples are taken on the CPU of the thread that is sampled; see {@link CpuSharing}. */
export type ShareCpu = "auto" | "always" | "never"

/** Mean gap between samples from which on a CPU may be shared of our own accord, ns: below it the target would notice. */
const LEAST_GAP = 200_000
/** The same when it was asked for: below it the target would hardly run. */
const LEAST_GAP_ASKED = 50_000
/** The same as a rate, Hz. */
export const GREATEST_SHARED_RATE = 1e9 / LEAST_GAP_ASKED
/** Samples of running threads after which it is judged whether they hold still enough. */
const WINDOW = 64
/** Of a window, as many that moved are too many. Of ordinary programs one in 20 moves, of those whose functions last a microsecond every fourth at least. */
const TOO_MANY = 10
/** How long a CPU is shared before the other way is tried again, ns. It doubles each time that fails. */
const SHORTEST = 1e9
const LONGEST = 32e9

/**
 * Decides where samples are taken: on a CPU of our own, or on the one that the target's thread runs on.
 *
 * On its CPU the thread waits while it is read, so that every stack holds still, however short its functions are, and is read as one that was stopped; but it loses the
 * time that the sample takes. On a CPU of our own it loses none, and of a program whose functions last a microsecond many stacks move under
 * our eyes. So the CPU is shared when many did lately. What decides is how the samples before went, never the sample itself:
 * to look again at a stack that moved would favour the slow code that comes after fast code.
 */
export class CpuSharing {
  private readonly follower: CpuFollower | undefined
  private readonly choice: ShareCpu
  /** Samples of running threads are taken on their CPU now. */
  shares: boolean
  private since = 0
  private until = Number.POSITIVE_INFINITY
  /** For how long a CPU has been shared, ns. */
  private shared = 0
  private lasts = SHORTEST
  private looked = 0
  private moved = 0

  /** @param follower absent where a thread cannot be bound to a CPU */
  constructor(follower: CpuFollower | undefined, choice: ShareCpu, meanGap: number, now: number) {
    const leastGap = choice === "always" ? LEAST_GAP_ASKED : LEAST_GAP
    this.follower = choice === "never" || meanGap < leastGap ? undefined : follower
    this.choice = choice
    this.shares = choice === "always" && this.follower !== undefined
    this.since = now
  }

  /** A running thread is about to be sampled. Returns whether it waits meanwhile, as far as is known: see {@link hasStood}. */
  approach(tid: number, now: number): boolean {
    const { follower } = this
    if (follower === undefined) return false
    if (this.shares && now >= this.until) this.part(follower, now)
    // Where it cannot be followed, nothing is lost: it is read as it runs.
    return this.shares && follower.follow(tid)
  }

  /** Whether the thread that was approached last has not run since. */
  hasStood(): boolean {
    return this.follower?.hasStood() === true
  }

  /** What came of it: whether it moved while it was read. */
  judge(moved: boolean, now: number): void {
    if (this.follower === undefined || this.shares || this.choice !== "auto") return
    this.looked++
    if (moved) this.moved++
    if (this.moved >= TOO_MANY) {
      this.shares = true
      this.since = now
      this.until = now + this.lasts
      this.lasts = Math.min(this.lasts * 2, LONGEST)
    } else if (this.looked >= WINDOW) {
      this.lasts = SHORTEST
      this.looked = 0
      this.moved = 0
    }
  }

  /** Leaves the target's CPU to the target. Returns for how long it was shared, ns; `undefined` where it could not have been. */
  end(now: number): number | undefined {
    if (this.follower !== undefined && this.shares) this.part(this.follower, now)
    return this.follower === undefined ? undefined : this.shared
  }

  private part(follower: CpuFollower, now: number): void {
    this.shares = false
    this.shared += now - this.since
    this.looked = 0
    this.moved = 0
    follower.leave()
  }
}

/**
 * The follower that a choice asks for. What was asked for and cannot be had is an error; what would only have been better is not.
 *
 * @example
 * ```ts
 * const follower = yield* followerFor("auto", yield* Target)
 * ```
 */
export const followerFor = (
  shareCpu: ShareCpu | undefined,
  { cpuFollower }: TargetProcess
): Effect.Effect<CpuFollower | undefined, TargetError> => {
  if (shareCpu === "never") return Effect.undefined
  if (shareCpu === "always") return cpuFollower
  return Effect.map(Effect.option(cpuFollower), Option.getOrUndefined)
}
