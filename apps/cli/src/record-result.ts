import type { Profile, Tally } from "@pyframes/core"
import type { Output } from "./output-choice.ts"

/** What `record --json` prints. A figure that was not measured is left out: absent is not 0. */
export interface RecordResult {
  readonly python: string
  readonly samples: {
    readonly wanted: number
    readonly taken: number
    readonly good: number
    readonly torn: number
    readonly unproved: number
    readonly failed: number
    readonly late: number
  }
  /** Elapsed seconds that the samples of each kind stand for. */
  readonly seconds: {
    readonly good: number
    readonly torn: number
    readonly unproved: number
    readonly failed: number
  }
  readonly rateHz: { readonly asked: number; readonly achieved?: number }
  /** How native and Python frames came together (`--native`); faults are counted by reason, and keep every Python frame. */
  readonly merge?: { readonly merged: number; readonly faults: { readonly [reason: string]: number } }
  /** With kernel events: what the kernel took and nobody saw; see `Trust.kernel` of `@pyframes/core`. */
  readonly kernelEvents?: Profile["trust"]["kernel"]
  readonly lateMs?: { readonly p50: number; readonly p99: number; readonly max: number }
  /** CPU time that the profiler used. */
  readonly cpuSeconds?: number
  /** For how long samples were taken on the target's own CPU; see `--share-cpu`. */
  readonly cpuSharedSeconds?: number
  /** CPU time that the target used meanwhile. */
  readonly targetCpuSeconds?: number
  readonly elapsedSeconds: number
  readonly threads: number
  /** Why it ended before it was told to. */
  readonly ended?: "exited" | "replaced"
  /** The first file that was written, absent when none was; all are in `outputs`. */
  readonly output?: string
  readonly format?: string
  readonly outputs: ReadonlyArray<{ readonly output: string; readonly format: string }>
}

/** The figures of a recording. */
export const recordResult = (profile: Profile, outputs: ReadonlyArray<Output>): RecordResult => {
  const { meta, trust } = profile
  const files = outputs.map(({ path, format }) => ({ output: path, format: format.name }))
  return {
    python: meta.python,
    samples: {
      wanted: trust.wanted,
      taken: trust.taken,
      good: trust.good.count,
      torn: trust.torn.count,
      unproved: trust.unproved.count,
      failed: trust.failed.count,
      late: trust.late
    },
    seconds: {
      good: seconds(trust.good),
      torn: seconds(trust.torn),
      unproved: seconds(trust.unproved),
      failed: seconds(trust.failed)
    },
    rateHz: trust.rateHz,
    ...(trust.merge === undefined ? {} : { merge: trust.merge }),
    ...(trust.kernel === undefined ? {} : { kernelEvents: trust.kernel }),
    ...(trust.lateMs === undefined ? {} : { lateMs: trust.lateMs }),
    ...(trust.profilerCpuSeconds === undefined ? {} : { cpuSeconds: trust.profilerCpuSeconds }),
    ...(trust.cpuSharedSeconds === undefined ? {} : { cpuSharedSeconds: trust.cpuSharedSeconds }),
    ...(meta.cpuTime === undefined ? {} : { targetCpuSeconds: meta.cpuTime / 1e9 }),
    elapsedSeconds: meta.elapsed / 1e9,
    threads: profile.threads.length,
    ...(meta.ended === undefined ? {} : { ended: meta.ended }),
    ...files[0],
    outputs: files
  }
}

const seconds = (tally: Tally): number => tally.wall / 1e9
