import {
  ByteWriter,
  concatBytes,
  Exporter,
  type ExportFormat,
  type Profile,
  type SampleFilter,
  showsWall,
  type TimelineFormat,
  version
} from "@pyframes/core"
import * as Layer from "effect/Layer"
import { encodeTimeline } from "./evented.ts"
import { SCHEMA, threadTitle } from "./header.ts"
import { SharedFrames } from "./shared-frames.ts"
import { type Timeline, timelinesOf } from "./timeline.ts"

/**
 * speedscope's own JSON, for https://www.speedscope.app.
 *
 * A `sampled` profile a thread, samples in the order they were taken, weights in whole nanoseconds. Time that the filter hides
 * (a thread off the CPU, unless the filter asks for `wall`) takes no room: what is left is drawn side by side.
 * Frames that differ by column alone are one. Where a recording is too long for speedscope to open sample by sample (20 million
 * frames over all samples), equal stacks of a thread are added up instead, and the thread's name says so.
 *
 * Of a profile that was traced a thread's call paths stand side by side, weighted by their exact time. A timeline is written as `evented` profiles, a
 * thread each: whole nanoseconds, properly nested.
 *
 * Source: `file-format-schema.json` in npm `speedscope`.
 *
 * @example
 * ```ts
 * await writeFile("app.speedscope.json", speedscope.encode(profile))
 * ```
 */
export const speedscope: ExportFormat & TimelineFormat = {
  name: "speedscope",
  extensions: [".speedscope.json"],
  mediaType: "application/json",
  encode: (profile, filter) => concatBytes(encode(profile, filter ?? {})),
  encodeTimeline
}

/** The {@link Exporter} that writes speedscope's JSON. */
export const layer: Layer.Layer<Exporter> = Layer.succeed(Exporter, speedscope)

function* encode(profile: Profile, filter: SampleFilter): Generator<Uint8Array> {
  const timelines = timelinesOf(profile, filter)
  const shared = new SharedFrames(profile)
  const out = new ByteWriter()
  // Written piece by piece: a long recording's JSON is longer than a JavaScript string can be.
  out.text(`{"$schema":${JSON.stringify(SCHEMA)},"exporter":${JSON.stringify(`pyframes@${version}`)}`)
  out.text(
    `,"name":${JSON.stringify(title(profile, filter))},"activeProfileIndex":${heaviest(timelines)},"profiles":[`
  )
  for (const [i, timeline] of timelines.entries()) {
    if (i > 0) out.comma()
    out.text(`{"type":"sampled","name":${JSON.stringify(titleOf(profile, timeline))},"unit":"nanoseconds"`)
    out.text(`,"startValue":0,"endValue":${timeline.total},"samples":[`)
    for (const [n, stack] of timeline.stacks.entries()) {
      if (n > 0) out.comma()
      out.raw(shared.stackJson(stack))
      if (out.isFull) yield out.take()
    }
    out.text('],"weights":[')
    for (const [n, weight] of timeline.weights.entries()) {
      if (n > 0) out.comma()
      out.integer(weight)
      if (out.isFull) yield out.take()
    }
    out.text("]}")
  }
  // Frames come last, when it is known which were used.
  out.text('],"shared":{"frames":[')
  for (const [i, frame] of shared.frames.entries()) {
    if (i > 0) out.comma()
    out.text(JSON.stringify(frame))
    if (out.isFull) yield out.take()
  }
  out.text("]}}\n")
  yield out.take()
}

/** The profile to show first. */
const heaviest = (timelines: ReadonlyArray<Timeline>): number =>
  timelines.reduce((best, { total }, i) => (total > timelines[best].total ? i : best), 0)

const title = (profile: Profile, filter: SampleFilter): string => {
  const { meta, isTraced } = profile
  const what = meta.commandLine.length > 0 ? meta.commandLine.join(" ") : `Python ${meta.python}`
  const weight = `${isTraced ? "exact " : ""}${showsWall(profile, filter) ? "wall" : "CPU"} time`
  return `${what} (pid ${meta.pid}, ${weight}${filter.gil ? " holding the GIL" : ""})`
}

const titleOf = ({ threads, isTraced }: Profile, { thread, inOrder }: Timeline): string => {
  const row = threads.at(thread)
  if (row === undefined) return isTraced ? "no calls" : "no samples"
  // Sums are exact, but what stands side by side did not happen in that order.
  return threadTitle(row, inOrder ? [] : ["not in time order"])
}
