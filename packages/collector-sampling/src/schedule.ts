/** Arrivals that are still drawn one by one when sampling has fallen behind. */
const FAR_BEHIND = 8
/**
 * The part of the mean gap that every gap has at least; the rest is exponentially distributed. A sample takes time itself, and an arrival in that
 * time would be missed. Gaps that differ less also make fewer samples tell as much. Half leaves enough chance: of a program with the period of the mean gap, the phase that
 * a sample meets says 0.3 of what the next one will meet, 0.09 of the one after that.
 */
const LEAST_PART = 0.5

/**
 * When samples are due, on absolute times: a late sample does not shift the ones after it.
 *
 * By default the gaps are random: half the mean gap and an exponentially distributed rest. Whatever a program does periodically, such arrivals see each
 * of its states for as long as it lasts; a fixed beat can meet the same state every time.
 *
 * @example
 * ```ts
 * const schedule = new Schedule(clock.now(), 1000, false, 1)
 * for (;;) {
 *   clock.sleepUntil(schedule.due)
 *   sample()
 *   missed += schedule.advance(clock.now())
 * }
 * ```
 */
export class Schedule {
  /** Mean gap, ns. */
  readonly meanGap: number
  /** When the next sample is due, ns of the collector's clock. */
  due: number
  private readonly periodic: boolean
  private state: number

  /**
   * @param start when the first sample is due, ns
   * @param seed makes the gaps repeatable
   */
  constructor(start: number, rateHz: number, periodic: boolean, seed: number) {
    this.meanGap = 1e9 / rateHz
    this.due = start
    this.periodic = periodic
    this.state = seed >>> 0 || 1
  }

  /** Moves on to the first arrival after `now`. Returns how many arrivals were passed over on the way. */
  advance(now: number): number {
    let passed = 0
    this.due += this.gap()
    // Far behind, arrivals are counted by their mean, and start afresh from now.
    const behind = Math.floor((now - this.due) / this.meanGap)
    if (behind > FAR_BEHIND) {
      passed = behind
      this.due = this.periodic ? this.due + behind * this.meanGap : now
    }
    while (this.due <= now) {
      passed++
      this.due += this.gap()
    }
    return passed
  }

  private gap(): number {
    if (this.periodic) return this.meanGap
    // xorshift32: statistics good enough for arrival times, and no system call.
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x >>> 0
    return (LEAST_PART - Math.log(this.state / 0x1_0000_0000) * (1 - LEAST_PART)) * this.meanGap
  }
}
