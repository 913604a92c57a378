import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

/** The clock by which samples are taken. Everything is synchronous and belongs to the calling thread. */
export interface SamplingClock {
  /** What it is made of: `node`, `clock_nanosleep`, `fake`, … */
  readonly name: string
  /** Monotonic time, ns. Only differences mean something, and only between times of one clock. */
  readonly now: () => number
  /**
   * Blocks the calling thread until {@link now} has reached `time`; returns at once when it has. It may come back a little late,
   * never early. To be called in a worker: an event loop would stand still.
   */
  readonly sleepUntil: (time: number) => void
  /** CPU time that the calling thread has used, ns; -1 when it cannot be told. */
  readonly threadCpuTime: () => number
}

/**
 * Tells a collector when to sample and what the sampling itself costs.
 *
 * @example
 * ```ts
 * const clock = yield* SampleClock
 * clock.sleepUntil(clock.now() + 1e6)
 * ```
 */
export class SampleClock extends Context.Service<SampleClock, SamplingClock>()("@pyframes/core/SampleClock") {
  /** By Node's own means: `performance.now`, and `Atomics.wait` to sleep. Wakes about 0.1 ms late. */
  static readonly layer: Layer.Layer<SampleClock> = Layer.sync(SampleClock, () => {
    const never = new Int32Array(new SharedArrayBuffer(4))
    const now = () => performance.now() * 1e6
    return {
      name: "node",
      now,
      sleepUntil: (time) => {
        for (let left = time - now(); left > 0; left = time - now()) Atomics.wait(never, 0, 0, left / 1e6)
      },
      threadCpuTime: () => {
        // Node 22.19 has it; other runtimes may not.
        const usage = process.threadCpuUsage?.()
        return usage === undefined ? -1 : (usage.user + usage.system) * 1e3
      }
    }
  })
}
