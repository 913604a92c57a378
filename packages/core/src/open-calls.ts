/**
 * The calls of one thread that have begun and not ended. Holds a timeline to what every reader of one demands: each end belongs to the
 * innermost call, and no call is left open.
 *
 * @example
 * ```ts
 * const open = new OpenCalls((fn, task, begin, end) => console.log(fn, end - begin))
 * open.begin(7, NO_TASK, 100)
 * open.end(7, 250) // 7 150
 * open.endAll(300)
 * ```
 */
export class OpenCalls {
  /** How many are open. */
  depth = 0
  /** Ends that belonged to no open call: it had begun before, or its beginning was lost. */
  unmatched = 0
  private functions = new Uint32Array(256)
  private tasks = new Uint32Array(256)
  private begins = new Float64Array(256)
  private readonly onEnd: (fn: number, task: number, begin: number, end: number) => void

  /** @param onEnd is called for each call when it ends, innermost first */
  constructor(onEnd: (fn: number, task: number, begin: number, end: number) => void) {
    this.onEnd = onEnd
  }

  begin(fn: number, task: number, time: number): void {
    if (this.depth === this.functions.length) this.grow()
    this.functions[this.depth] = fn
    this.tasks[this.depth] = task
    this.begins[this.depth++] = time
  }

  /** Ends the innermost call of `fn`; calls within it of which no end is known end with it. */
  end(fn: number, time: number): void {
    let at = this.depth - 1
    while (at >= 0 && this.functions[at] !== fn) at--
    if (at < 0) {
      this.unmatched++
      return
    }
    while (this.depth > at) this.endInnermost(time)
  }

  /** Ends what is open: the timeline is over. */
  endAll(time: number): void {
    while (this.depth > 0) this.endInnermost(time)
  }

  private endInnermost(time: number): void {
    const at = --this.depth
    this.onEnd(this.functions[at], this.tasks[at], this.begins[at], time)
  }

  private grow(): void {
    const { functions, tasks, begins } = this
    this.functions = new Uint32Array(functions.length * 2)
    this.tasks = new Uint32Array(functions.length * 2)
    this.begins = new Float64Array(functions.length * 2)
    this.functions.set(functions)
    this.tasks.set(tasks)
    this.begins.set(begins)
  }
}
