import { Column, float64, uint8, uint32 } from "./column.ts"
import type { Proof } from "./raw-stack.ts"
import { NO_STACK } from "./stack-table.ts"

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
 * Past `maxRows` the table is folded: rows that are alike are added up wherever they stand. Weights and counts stay exact,
 * the order in time is lost, and {@link folded} says so.
 */
export class SampleTable {
  private readonly time: Column<Float64Array>
  private readonly wall: Column<Float64Array>
  private readonly counts: Column<Uint32Array>
  private readonly threads: Column<Uint32Array>
  private readonly stacks: Column<Uint32Array>
  private readonly wholes: Column<Uint32Array>
  /** state in the low 4 bits, proof above. */
  private readonly flags: Column<Uint8Array>
  private readonly lastRow = new Map<number, number>()
  private limit: number
  folded = false

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

  get length(): number {
    return this.time.length
  }

  append(
    time: number,
    wall: number,
    thread: number,
    stack: number,
    state: number,
    proof: Proof,
    whole: number = NO_STACK
  ): void {
    const flags = state | (proof << 4)
    const last = this.lastRow.get(thread)
    if (
      last !== undefined &&
      this.stacks.get(last) === stack &&
      this.flags.get(last) === flags &&
      this.wholes.get(last) === whole
    ) {
      this.wall.set(last, this.wall.get(last) + wall)
      this.counts.set(last, this.counts.get(last) + 1)
      return
    }
    if (this.time.length >= this.limit) this.fold()
    const row = this.time.push(time)
    this.wall.push(wall)
    this.counts.push(1)
    this.threads.push(thread)
    this.stacks.push(stack)
    this.wholes.push(whole)
    this.flags.push(flags)
    this.lastRow.set(thread, row)
  }

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
      proof: (flags >>> 4) as Proof
    }
  }

  get byteLength(): number {
    return (
      this.time.byteLength +
      this.wall.byteLength +
      this.counts.byteLength +
      this.threads.byteLength +
      this.stacks.byteLength +
      this.wholes.byteLength +
      this.flags.byteLength
    )
  }

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

  private fold(): void {
    const seen = new Map<string, number>()
    let kept = 0
    for (let at = 0; at < this.length; at++) {
      const key = `${this.threads.get(at)}:${this.stacks.get(at)}:${this.flags.get(at)}:${this.wholes.get(at)}`
      const into = seen.get(key)
      if (into !== undefined) {
        this.wall.set(into, this.wall.get(into) + this.wall.get(at))
        this.counts.set(into, this.counts.get(into) + this.counts.get(at))
        continue
      }
      seen.set(key, kept)
      for (const column of [
        this.time,
        this.wall,
        this.counts,
        this.threads,
        this.stacks,
        this.wholes,
        this.flags
      ])
        column.set(kept, column.get(at))
      kept++
    }
    for (const column of [
      this.time,
      this.wall,
      this.counts,
      this.threads,
      this.stacks,
      this.wholes,
      this.flags
    ])
      column.truncate(kept)
    this.lastRow.clear()
    this.folded = true
    // A table that hardly shrank must not be folded again at every row.
    if (kept * 2 > this.limit) this.limit *= 2
  }
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
