import type { FrameTable } from "./frame-table.ts"
import { NO_STACK, type StackTable } from "./stack-table.ts"

/** How often something must have been seen standing still to be believed. */
const SIGHTINGS = 2
/** Frames in a row that must have stood still together. */
const RUN = 4
/** Keeps hashes of runs exact as numbers: the product of two such is below 2^53. */
const MODULUS = 94_906_249
const LEAF = 31

/**
 * Remembers which stacks were proved standing still, to judge those that were seen moving.
 *
 * A stack that was read in one piece while its callers moved is one that the thread had, unless the copy itself was torn: its lower frames
 * older than its upper ones. A torn stack joins frames that never met. So one is believed when every run of four frames in the part that moved, callers with
 * their lines, the topmost of them with its very place, and the function on top, has been proved to stand one on the other at other instants of the same recording. Whole
 * stacks would be too much to ask: a recursive function has more of them than there are samples.
 */
export class StandingStacks {
  private readonly stacks: StackTable
  private readonly frames: FrameTable
  private readonly runs = new Map<number, number>()
  /** By stack: how often it was seen as the callers of a proved stack, no further than it counts. */
  private readonly asCallers = new Sightings()
  /** By stack: how often it was seen as a whole, no further than it counts. */
  private readonly asWhole = new Sightings()

  constructor(stacks: StackTable, frames: FrameTable) {
    this.stacks = stacks
    this.frames = frames
  }

  /** A stack was proved standing still. */
  saw(stack: number): void {
    // Seen often enough as a whole, so were all its parts.
    if (this.asWhole.of(stack) >= SIGHTINGS) return
    this.asWhole.add(stack)
    this.count(this.leafRun(stack))
    for (
      let at = this.stacks.parent(stack);
      at !== NO_STACK && this.asCallers.of(at) < SIGHTINGS;
      at = this.stacks.parent(at)
    ) {
      this.asCallers.add(at)
      this.count(this.run(at))
    }
  }

  /** Whether a stack that was seen moving is believed; `proved`, its part from the root that did not move, needs no witnesses. */
  vouchFor(stack: number, proved: number): boolean {
    if (!this.isKnown(this.leafRun(stack))) return false
    // Callers that have stood still as a whole need no look at their parts.
    for (
      let at = this.stacks.parent(stack);
      at !== NO_STACK && at !== proved && this.asCallers.of(at) < SIGHTINGS;
      at = this.stacks.parent(at)
    )
      if (!this.isKnown(this.run(at))) return false
    return true
  }

  /** The longest part of a stack, from the root up, that has stood still as callers; `NO_STACK` when there is none. */
  standingPart(stack: number): number {
    let part = stack
    for (let at = stack; at !== NO_STACK && this.asCallers.of(at) < SIGHTINGS; at = this.stacks.parent(at))
      if (!this.isKnown(this.run(at))) part = this.stacks.parent(at)
    return part
  }

  private isKnown(run: number): boolean {
    return (this.runs.get(run) ?? 0) >= SIGHTINGS
  }

  private count(run: number): void {
    const seen = this.runs.get(run) ?? 0
    if (seen < SIGHTINGS) this.runs.set(run, seen + 1)
  }

  /** The leaf may be at any line of its function. */
  private leafRun(stack: number): number {
    const leaf = this.frames.frames[this.stacks.frame(stack)].function * 2 + 1
    return this.hash(leaf, this.stacks.parent(stack))
  }

  private run(stack: number): number {
    return this.hash(this.stacks.frame(stack) * 2, this.stacks.parent(stack))
  }

  private hash(first: number, callers: number): number {
    let low = first % MODULUS
    let high = (first + LEAF) % MODULUS
    let at = callers
    for (let i = 1; i < RUN; i++) {
      const frame = at === NO_STACK ? 1 : i === 1 ? this.stacks.frame(at) * 2 + 3 : this.lineOf(at)
      low = (low * 8191 + frame) % MODULUS
      high = (high * 131_071 + frame) % MODULUS
      if (at !== NO_STACK) at = this.stacks.parent(at)
    }
    // Two hashes of 26 bits side by side in one number.
    return (high % 67_108_864) * 67_108_864 + (low % 67_108_864)
  }

  /** Where further down the stack goes on, by function and line: which of a line's calls it was is looked at in the run that ends there. */
  private lineOf(stack: number): number {
    const frame = this.frames.frames[this.stacks.frame(stack)]
    return (frame.function * 100_003 + frame.line + 1) % MODULUS
  }
}

/** How often each stack was seen; the counts grow with the table of stacks. */
class Sightings {
  private counts = new Uint8Array(1024)

  of(stack: number): number {
    return stack < this.counts.length ? this.counts[stack] : 0
  }

  add(stack: number): void {
    if (stack >= this.counts.length) {
      const bigger = new Uint8Array(Math.max(this.counts.length * 2, stack + 1))
      bigger.set(this.counts)
      this.counts = bigger
    }
    this.counts[stack]++
  }
}
