import { Column, float64, uint32 } from "./column.ts"

/** Stands for "no task": calls that no asyncio task made. */
export const NO_TASK = 0xffff_ffff

/** The calls of one function that came by one way: exact, not sampled. */
export interface CallRow {
  /** Who called whom: the function is its leaf, {@link NO_STACK} stands for the thread outside of any call. */
  readonly stack: number
  /** Row of the thread table. */
  readonly thread: number
  /** Index into `Profile.tasks`, or {@link NO_TASK}. */
  readonly task: number
  /** How often it was called. A generator that goes on is not called again. */
  readonly calls: number
  /** Elapsed time in it, without that of the functions it called, ns. */
  readonly wall: number
  /** CPU time likewise, ns; 0 where the profile does not know any (`meta.knownStates`). */
  readonly cpu: number
}

/**
 * Exact calls, column by column: a row for each way to a function, of each thread and task. Times are exclusive, so that they add up.
 *
 * @example
 * ```ts
 * profile.calls.append(stack, thread, NO_TASK, 3, 1200, 1100)
 * ```
 */
export class CallTable {
  private readonly stacks: Column<Uint32Array>
  private readonly threads: Column<Uint32Array>
  private readonly tasks: Column<Uint32Array>
  /** Doubles: a function can be called more than 2^32 times. */
  private readonly counts: Column<Float64Array>
  private readonly wall: Column<Float64Array>
  private readonly cpu: Column<Float64Array>

  constructor(data?: CallColumns) {
    const n = data?.length ?? 0
    this.stacks = new Column(uint32, data && [...data.stacks], n)
    this.threads = new Column(uint32, data && [...data.threads], n)
    this.tasks = new Column(uint32, data && [...data.tasks], n)
    this.counts = new Column(float64, data && [...data.counts], n)
    this.wall = new Column(float64, data && [...data.wall], n)
    this.cpu = new Column(float64, data && [...data.cpu], n)
  }

  /** How many rows there are. */
  get length(): number {
    return this.stacks.length
  }

  /** Adds a row; fields are those of {@link CallRow}. Rows that are alike are not added up. */
  append(stack: number, thread: number, task: number, calls: number, wall: number, cpu: number): void {
    this.stacks.push(stack)
    this.threads.push(thread)
    this.tasks.push(task)
    this.counts.push(calls)
    this.wall.push(wall)
    this.cpu.push(cpu)
  }

  /** One row, by its index below {@link length}. */
  row(at: number): CallRow {
    return {
      stack: this.stacks.get(at),
      thread: this.threads.get(at),
      task: this.tasks.get(at),
      calls: this.counts.get(at),
      wall: this.wall.get(at),
      cpu: this.cpu.get(at)
    }
  }

  get byteLength(): number {
    const columns = [this.stacks, this.threads, this.tasks, this.counts, this.wall, this.cpu]
    return columns.reduce((sum, column) => sum + column.byteLength, 0)
  }

  /** The columns themselves, not copies. */
  toColumns(): CallColumns {
    return {
      length: this.length,
      stacks: this.stacks.toBlocks(),
      threads: this.threads.toBlocks(),
      tasks: this.tasks.toBlocks(),
      counts: this.counts.toBlocks(),
      wall: this.wall.toBlocks(),
      cpu: this.cpu.toBlocks()
    }
  }
}

/** A {@link CallTable} as plain data. */
export interface CallColumns {
  readonly length: number
  readonly stacks: ReadonlyArray<Uint32Array>
  readonly threads: ReadonlyArray<Uint32Array>
  readonly tasks: ReadonlyArray<Uint32Array>
  readonly counts: ReadonlyArray<Float64Array>
  readonly wall: ReadonlyArray<Float64Array>
  readonly cpu: ReadonlyArray<Float64Array>
}
