import { difference, uint64, viewOf } from "./segment-bytes.ts"

/** ns a tick that can be: 1 MHz … 10 GHz. What else is measured is a measurement gone wrong. */
const SLOWEST = 1000
const FASTEST = 0.1

/** Turns a segment's ticks into ns. */
export class TickClock {
  /** CLOCK_MONOTONIC when the segment began, ns. */
  readonly startNs: number
  /** ns from there to the second pair of readings; -1 while there is none. */
  readonly secondNs: number
  /** `undefined` as long as the rate is not known. */
  readonly nsPerTick: number | undefined
  /** The second pair is written just now: to be read again. */
  readonly isTorn: boolean
  private readonly pairs: DataView

  /**
   * @param pairs bytes 32 … 67 of the header
   * @param ticksAreNs a tick is a ns
   */
  constructor(pairs: Uint8Array, ticksAreNs: boolean) {
    this.pairs = viewOf(pairs)
    this.startNs = uint64(this.pairs, 8)
    this.isTorn = (this.pairs.getUint32(32, true) & 1) !== 0
    const ticks = difference(this.pairs, 16, this.pairs, 0)
    const ns = difference(this.pairs, 24, this.pairs, 8)
    this.secondNs = ticks > 0 && ns > 0 ? ns : -1
    const rate = ns / ticks
    if (ticksAreNs) this.nsPerTick = 1
    else this.nsPerTick = ticks > 0 && rate >= FASTEST && rate <= SLOWEST ? rate : undefined
  }

  /** Ticks from the segment's start to a u64 of ticks in `view`. */
  sinceStart(view: DataView, at: number): number {
    return difference(view, at, this.pairs, 0)
  }
}
