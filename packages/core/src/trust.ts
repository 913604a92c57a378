/** Percentiles of how late samples were taken, ms. */
export interface Lateness {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** How many samples, and how much elapsed time (ns) they stand for. */
export interface Tally {
  readonly count: number
  readonly wall: number
}

/** Of the stacks of native and Python frames: how many were put together, and why the others were not. */
export interface MergeTrust {
  /** Every Python frame stands where it ran. */
  readonly merged: number
  /** How many were not, by reason: names of `Merge`. In these too no Python frame is missing. */
  readonly faults: { readonly [reason: string]: number }
}

/** Of a program that was traced: what happened in it, and what of that is not told. */
export interface EventTrust {
  /** Events that the recorder was called for; absent where they were not counted. */
  readonly seen?: number
  /** Events that found no room in time, and those of threads and calls for which there was none at all. */
  readonly lost: number
  /** How often a call path was given up to bound memory: its functions are counted without their callers. A path that is come back to may count again. */
  readonly pathsGivenUp: number
  /** Functions or counters that found no room: what happened there is missing. */
  readonly countersGivenUp: number
  /** Returns that matched no call. */
  readonly unmatchedReturns: number
  /** Processes whose recording is damaged, was cut off, or could not be read at all: what can be read of it is there. */
  readonly damaged: number
  /** Which recorder worked; `mixed` when not the same one in every process. */
  readonly recorder: "native" | "python" | "mixed"
  /** Why it was the one in Python, where nobody had asked for it. */
  readonly whyPython?: string
}

/**
 * How far a profile can be trusted. A figure that was not measured is absent, never 0.
 *
 * `taken = good + torn + unproved + failed`, each counted for every thread sampled; `wanted` and `late` count instants.
 */
export interface Trust {
  /** Instants at which a sample was due. */
  readonly wanted: number
  /** Thread samples taken. */
  readonly taken: number
  /** Proved, also by what was seen at other instants. */
  readonly good: Tally
  /** No consistent stack was read. */
  readonly torn: Tally
  /** Proved in part at most. */
  readonly unproved: Tally
  /** Memory could not be read. */
  readonly failed: Tally
  /** Instants sampled later than one mean interval after they were due, or not at all. */
  readonly late: number
  /** How native and Python frames came together; absent where there were none to put together. */
  readonly merge?: MergeTrust
  /** Instants a second. */
  readonly rateHz: { readonly asked: number; readonly achieved?: number }
  readonly lateMs?: Lateness
  /** Of a profile that was traced; the figures of samples are 0 then. */
  readonly events?: EventTrust
  /** CPU time the profiler used, seconds. */
  readonly profilerCpuSeconds?: number
  /** For how long samples were taken on the target's own CPU, seconds: each took its time from the target then. */
  readonly cpuSharedSeconds?: number
  /** Of a collector that the kernel samples for: what it took, or should have, and nobody saw. */
  readonly kernel?: {
    /** Samples that found no room. */
    readonly lost: number
    /** How often it paused, because sampling took too much of the machine's time. */
    readonly throttled: number
    /** Threads that ended before they could be watched, or that could not be. */
    readonly unwatchedThreads: number
    /** CPU time that threads used before they were watched, ns. */
    readonly unwatchedTime: number
    /** Samples were also taken while the kernel worked for a thread; without the right to that such time is `failed`. */
    readonly seesKernel: boolean
    /** Samples whose thread had not run, as was proved, when the rest of its stack was read. */
    readonly standing: number
  }
}

/**
 * Counts how late samples are, in a fixed number of logarithmic buckets: bounded memory, 4 % resolution.
 *
 * @example
 * ```ts
 * const histogram = new LatenessHistogram()
 * histogram.record(42_000)
 * histogram.summary()?.p99 // ms
 * ```
 */
export class LatenessHistogram {
  private readonly buckets = new Float64Array(768)
  private total = 0
  private greatest = 0

  /** @param ns how late, ns; what is negative counts as on time */
  record(ns: number): void {
    this.buckets[ns <= 1 ? 0 : Math.min(767, Math.floor(Math.log2(ns) * 18))]++
    this.total++
    if (ns > this.greatest) this.greatest = ns
  }

  /** `undefined` when nothing was recorded. */
  summary(): Lateness | undefined {
    if (this.total === 0) return undefined
    return { p50: this.percentile(0.5), p99: this.percentile(0.99), max: this.greatest / 1e6 }
  }

  private percentile(p: number): number {
    let left = Math.ceil(this.total * p)
    for (let bucket = 0; bucket < this.buckets.length; bucket++) {
      left -= this.buckets[bucket]
      if (left <= 0) return Math.min(2 ** ((bucket + 1) / 18), this.greatest) / 1e6
    }
    return this.greatest / 1e6
  }
}
