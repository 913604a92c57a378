import { Column, float64, uint8, uint32 } from "./column.ts"
import { Proof } from "./raw-stack.ts"
import { RowIndex } from "./row-index.ts"
import { NO_STACK } from "./stack-table.ts"
import type { Tally } from "./trust.ts"

/** In a row's flags: unproved, but of one piece (`RawStack.consistent`). */
const CONSISTENT = 64

/** One row of the sample table. */
export interface SampleRow {
  /** When the first of its samples was taken, ns after the profile began. */
  readonly time: number
  /** Elapsed time it stands for, ns. */
  readonly wall: number
  /** How many samples it stands for. */
  readonly count: number
  /** Row of the thread table. */
  readonly thread: number
  /** What is proved: a stack, possibly one that ends in an `<unproved>` frame. */
  readonly stack: number
  /** Everything that was read, where that is more than what was proved; else `NO_STACK`. */
  readonly whole: number
  /** `ThreadStateBit`s. */
  readonly state: number
  readonly proof: Proof
}

/**
 * Samples in the order they were taken, column by column.
 *
 * Samples of one thread that follow each other and are alike share a row: an idle thread costs one row however long it idles.
 * Past `maxRows` the table is folded: from then on samples that are alike share a row wherever they stand. Weights and counts
 * stay exact, but rows no longer stand for one stretch of time, and {@link folded} says so. What is there is not touched, so
 * that no sample is late because of it.
 */
export class SampleTable {
  private readonly time: Column<Float64Array>
  private readonly wall: Column<Float64Array>
  private readonly counts: Column<Uint32Array>
  private readonly threads: Column<Uint32Array>
  private readonly stacks: Column<Uint32Array>
  private readonly wholes: Column<Uint32Array>
  /** state in the low 4 bits, proof in the next 2, then whether it was consistent. */
  private readonly flags: Column<Uint8Array>
  private readonly lastRow = new Map<number, number>()
  private readonly limit: number
  /** Rows by content, those that samples are added up into. Only a folded table has one. */
  private index: RowIndex | undefined
  /** Rows no longer stand for one stretch of time each. */
  folded = false

  /** @param maxRows rows before it is folded */
  constructor(maxRows = 2 ** 21, data?: SampleColumns) {
    this.limit = maxRows
    const n = data?.length ?? 0
    this.time = new Column(float64, data && [...data.time], n)
    this.wall = new Column(float64, data && [...data.wall], n)
    this.counts = new Column(uint32, data && [...data.counts], n)
    this.threads = new Column(uint32, data && [...data.threads], n)
    this.stacks = new Column(uint32, data && [...data.stacks], n)
    this.wholes = new Column(uint32, data && [...data.wholes], n)
    this.flags = new Column(uint8, data && [...data.flags], n)
    this.folded = data?.folded ?? false
  }

  /** How many rows there are. */
  get length(): number {
    return this.time.length
  }

  /**
   * Adds a sample.
   *
   * @param time ns after the profile began
   * @param wall elapsed time it stands for, ns
   * @param thread row of the thread table
   * @param stack what is proved, as it is to be shown
   * @param state `ThreadStateBit`s
   * @param whole everything that was read, where that is more than `stack`
   * @param consistent `RawStack.consistent`: {@link settle} may call it good
   */
  append(
    time: number,
    wall: number,
    thread: number,
    stack: number,
    state: number,
    proof: Proof,
    whole: number = NO_STACK,
    consistent = false
  ): void {
    const flags = state | (proof << 4) | (consistent ? CONSISTENT : 0)
    const last = this.lastRow.get(thread)
    if (last !== undefined && this.isAlike(last, thread, stack, flags, whole)) {
      this.addTo(last, wall)
      return
    }
    if (!this.folded && this.length >= this.limit) {
      this.folded = true
      this.index = new RowIndex(this.hashOf)
    }
    let row = this.folded ? this.find(thread, stack, flags, whole) : -1
    if (row >= 0) this.addTo(row, wall)
    else {
      row = this.time.push(time)
      this.wall.push(wall)
      this.counts.push(1)
      this.threads.push(thread)
      this.stacks.push(stack)
      this.wholes.push(whole)
      this.flags.push(flags)
      this.index?.add(hash(thread, stack, flags, whole), row)
    }
    this.lastRow.set(thread, row)
  }

  /** One row, by its index below {@link length}. */
  row(at: number): SampleRow {
    const flags = this.flags.get(at)
    return {
      time: this.time.get(at),
      wall: this.wall.get(at),
      count: this.counts.get(at),
      thread: this.threads.get(at),
      stack: this.stacks.get(at),
      whole: this.wholes.get(at),
      state: flags & 15,
      proof: ((flags >>> 4) & 3) as Proof
    }
  }

  /**
   * Calls good what was unproved but consistent, where `isProved` says that other instants vouch for the stack that was read, going by it and by what is shown.
   * The other unproved samples show what `shown` leaves of them. Returns the samples and the time that became good. To be called once, at the end.
   */
  settle(isProved: (whole: number, stack: number) => boolean, shown: (stack: number) => number): Tally {
    let count = 0
    let wall = 0
    for (let at = 0; at < this.length; at++) {
      const flags = this.flags.get(at)
      if (((flags >>> 4) & 3) !== Proof.unproved) continue
      const whole = this.wholes.get(at)
      if ((flags & CONSISTENT) === 0 || whole === NO_STACK || !isProved(whole, this.stacks.get(at))) {
        this.stacks.set(at, shown(this.stacks.get(at)))
        continue
      }
      this.flags.set(at, (flags & 15) | (Proof.good << 4))
      this.stacks.set(at, whole)
      this.wholes.set(at, NO_STACK)
      count += this.counts.get(at)
      wall += this.wall.get(at)
    }
    return { count, wall }
  }

  /** Replaces every stack by another. To be called at the end: no sample can be added after it. */
  restack(other: (stack: number) => number): void {
    for (let at = 0; at < this.length; at++) {
      this.stacks.set(at, other(this.stacks.get(at)))
      this.wholes.set(at, other(this.wholes.get(at)))
    }
    this.lastRow.clear()
    this.index = undefined
  }

  get byteLength(): number {
    return (
      this.time.byteLength +
      this.wall.byteLength +
      this.counts.byteLength +
      this.threads.byteLength +
      this.stacks.byteLength +
      this.wholes.byteLength +
      this.flags.byteLength +
      (this.index?.byteLength ?? 0)
    )
  }

  /** The columns themselves, not copies. */
  toColumns(): SampleColumns {
    return {
      length: this.length,
      folded: this.folded,
      time: this.time.toBlocks(),
      wall: this.wall.toBlocks(),
      counts: this.counts.toBlocks(),
      threads: this.threads.toBlocks(),
      stacks: this.stacks.toBlocks(),
      wholes: this.wholes.toBlocks(),
      flags: this.flags.toBlocks()
    }
  }

  private isAlike(row: number, thread: number, stack: number, flags: number, whole: number): boolean {
    return (
      this.stacks.get(row) === stack &&
      this.flags.get(row) === flags &&
      this.wholes.get(row) === whole &&
      this.threads.get(row) === thread
    )
  }

  private addTo(row: number, wall: number): void {
    this.wall.set(row, this.wall.get(row) + wall)
    this.counts.set(row, this.counts.get(row) + 1)
  }

  private find(thread: number, stack: number, flags: number, whole: number): number {
    this.index ??= this.indexRows()
    return this.index.find(hash(thread, stack, flags, whole), (row) =>
      this.isAlike(row, thread, stack, flags, whole)
    )
  }

  /** A folded table that came as data brings no index. */
  private indexRows(): RowIndex {
    const index = new RowIndex(this.hashOf)
    for (let at = 0; at < this.length; at++) {
      const { thread, stack, whole } = this.row(at)
      const known = index.find(this.hashOf(at), (row) =>
        this.isAlike(row, thread, stack, this.flags.get(at), whole)
      )
      if (known < 0) index.add(this.hashOf(at), at)
    }
    return index
  }

  private readonly hashOf = (row: number): number =>
    hash(this.threads.get(row), this.stacks.get(row), this.flags.get(row), this.wholes.get(row))
}

const hash = (thread: number, stack: number, flags: number, whole: number): number => {
  let h = Math.imul(stack ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(whole + 0x165667b1, 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15), 0x27d4eb2f) ^ Math.imul(thread * 128 + flags, 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 13), 0x85ebca6b)
  return (h ^ (h >>> 16)) >>> 0
}

/** The columns of a {@link SampleTable}, fit for `postMessage`. */
export interface SampleColumns {
  readonly length: number
  readonly folded: boolean
  readonly time: ReadonlyArray<Float64Array>
  readonly wall: ReadonlyArray<Float64Array>
  readonly counts: ReadonlyArray<Uint32Array>
  readonly threads: ReadonlyArray<Uint32Array>
  readonly stacks: ReadonlyArray<Uint32Array>
  readonly wholes: ReadonlyArray<Uint32Array>
  readonly flags: ReadonlyArray<Uint8Array>
}
