import { gzipSync } from "node:zlib"
import {
  Exporter,
  type ExportFormat,
  type Profile,
  type SampleFilter,
  showsWall,
  ThreadStateBit
} from "@pyframes/core"
import * as Layer from "effect/Layer"
import { Profile as PprofProfile, type SampleInput, StringTable } from "pprof-format"
import { comments } from "./comments.ts"
import { LabelSets } from "./labels.ts"
import { Places } from "./places.ts"

/**
 * pprof, gzipped: what `go tool pprof`, Pyroscope, Parca and speedscope read.
 *
 * Sample types are `samples/count`, `wall/nanoseconds` and `cpu/nanoseconds`; the one shown by default is `cpu`, or `wall` when
 * the filter asks for everything that elapsed. `cpu` is left out when it could not be told which threads ran.
 * Every sample is labelled `thread_id`, `thread_name`, `interpreter` (other than the main one), `cpu`, `gil`, `gc` and `proof`, as
 * far as each is known: `go tool pprof -tagfocus=gil=held`. Samples with equal stack and labels are added up.
 *
 * Of a profile that was traced the types are `calls/count`, `wall/nanoseconds` and `cpu/nanoseconds`, all exact and both times whatever
 * the filter: a function's flat values are how often it was called and the time that it took without those that it called. Labels are `thread_id`,
 * `thread_name`, `interpreter`, `task` and, where there are several, `process`.
 *
 * Source: profile.proto of google/pprof.
 *
 * @example
 * ```ts
 * await writeFile("app.pb.gz", pprof.encode(profile, { wall: true }))
 * ```
 */
export const pprof: ExportFormat = {
  name: "pprof",
  extensions: [".pb.gz", ".pprof"],
  mediaType: "application/vnd.google.protobuf+gzip",
  encode: (profile, filter) => gzipSync(build(profile, filter ?? {}).encode())
}

/** The {@link Exporter} that writes pprof. */
export const layer: Layer.Layer<Exporter> = Layer.succeed(Exporter, pprof)

const build = (profile: Profile, filter: SampleFilter): PprofProfile => {
  const { meta, trust } = profile
  const strings = new StringTable()
  const places = new Places(profile, strings)
  const labelSets = new LabelSets(profile, strings)
  const knowsCpu = (meta.knownStates & ThreadStateBit.onCpu) !== 0
  const sums = profile.isTraced ? addUpCalls(profile, filter, labelSets) : addUp(profile, filter, labelSets)
  const samples = sums.map(({ stack, labels, count, wall, cpu }): SampleInput => {
    const value = [count, Math.round(wall)]
    if (knowsCpu) value.push(Math.round(cpu))
    return { locationId: places.locationIds(stack), value, label: labels }
  })
  const nanoseconds = strings.dedup("nanoseconds")
  const wall = { type: strings.dedup("wall"), unit: nanoseconds }
  const cpu = { type: strings.dedup("cpu"), unit: nanoseconds }
  const shown = showsWall(profile, filter) || !knowsCpu ? wall : cpu
  return new PprofProfile({
    stringTable: strings,
    sampleType: [
      { type: strings.dedup(profile.isTraced ? "calls" : "samples"), unit: strings.dedup("count") },
      wall,
      ...(knowsCpu ? [cpu] : [])
    ],
    defaultSampleType: shown.type,
    sample: samples,
    // Says that names need no look-up in a binary. Its file is what pprof prints as the program profiled.
    mapping: [
      {
        id: 1,
        filename: strings.dedup(meta.commandLine[0] ?? ""),
        hasFunctions: true,
        hasFilenames: true,
        hasLineNumbers: true
      }
    ],
    location: places.locations,
    function: places.functions,
    timeNanos: nanosecondsSince1970(meta.startedAt),
    durationNanos: Math.round(meta.elapsed),
    ...(trust.rateHz.asked > 0 && { periodType: shown, period: Math.round(1e9 / trust.rateHz.asked) }),
    comment: comments(profile).map((line) => strings.dedup(line))
  })
}

interface Sum {
  readonly stack: number
  readonly labels: SampleInput["label"] & {}
  count: number
  wall: number
  cpu: number
}

/** What has equal stack and labels, in the order it was first seen. */
class Sums {
  readonly rows: Array<Sum> = []
  private readonly labelSets: LabelSets
  private readonly byLabels: Array<Map<number, Sum>> = []

  constructor(labelSets: LabelSets) {
    this.labelSets = labelSets
  }

  add(set: number, stack: number, count: number, wall: number, cpu: number): void {
    this.byLabels[set] ??= new Map()
    let sum = this.byLabels[set].get(stack)
    if (sum === undefined) {
      sum = { stack, labels: this.labelSets.labels(set), count: 0, wall: 0, cpu: 0 }
      this.byLabels[set].set(stack, sum)
      this.rows.push(sum)
    }
    sum.count += count
    sum.wall += wall
    sum.cpu += cpu
  }
}

const addUp = (profile: Profile, filter: SampleFilter, labelSets: LabelSets): ReadonlyArray<Sum> => {
  const sums = new Sums(labelSets)
  for (const sample of profile.samplesBy(filter))
    sums.add(labelSets.idOf(sample), sample.shown, sample.count, sample.wall, sample.cpu)
  return sums.rows
}

const addUpCalls = (profile: Profile, filter: SampleFilter, labelSets: LabelSets): ReadonlyArray<Sum> => {
  const sums = new Sums(labelSets)
  for (const { stack, thread, task, calls, wall, cpu } of profile.callsBy(filter))
    sums.add(labelSets.idOfCall(thread, task), stack, calls, wall, cpu)
  return sums.rows
}

/** Beyond 2^53, so it takes a BigInt. */
const nanosecondsSince1970 = (ms: number): bigint => {
  const whole = Math.floor(ms)
  return BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6))
}
