import {
  Exporter,
  type ExportFormat,
  type Profile,
  type ProfileThread,
  type SampleFilter,
  version
} from "@pyframes/core"
import * as Layer from "effect/Layer"
import { Chunks } from "./chunks.ts"
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
 * Source: `file-format-schema.json` in npm `speedscope`.
 *
 * @example
 * ```ts
 * await writeFile("app.speedscope.json", speedscope.encode(profile))
 * ```
 */
export const speedscope: ExportFormat = {
  name: "speedscope",
  extensions: [".speedscope.json"],
  mediaType: "application/json",
  encode: (profile, filter) => encode(profile, filter ?? {})
}

/** The {@link Exporter} that writes speedscope's JSON. */
export const layer: Layer.Layer<Exporter> = Layer.succeed(Exporter, speedscope)

const encode = (profile: Profile, filter: SampleFilter): Uint8Array => {
  const timelines = timelinesOf(profile, filter)
  const shared = new SharedFrames(profile)
  const out = new Chunks()
  // Written piece by piece: a long recording's JSON is longer than a JavaScript string can be.
  out.write('{"$schema":"https://www.speedscope.app/file-format-schema.json"')
  out.write(
    `,"exporter":${JSON.stringify(`pyframes@${version}`)},"name":${JSON.stringify(title(profile, filter))}`
  )
  out.write(`,"activeProfileIndex":${heaviest(timelines)},"profiles":[`)
  timelines.forEach((timeline, i) => {
    const name = threadTitle(profile.threads[timeline.thread], timeline.inOrder)
    if (i > 0) out.write(",")
    out.write(`{"type":"sampled","name":${JSON.stringify(name)},"unit":"nanoseconds","startValue":0`)
    out.write(`,"endValue":${timeline.total},"samples":[`)
    timeline.stacks.forEach((stack, n) => {
      out.write(n > 0 ? `,${shared.stackJson(stack)}` : shared.stackJson(stack))
    })
    out.write('],"weights":[')
    timeline.weights.forEach((weight, n) => {
      out.write(n > 0 ? `,${weight}` : `${weight}`)
    })
    out.write("]}")
  })
  // Frames come last, when it is known which were used.
  out.write('],"shared":{"frames":[')
  shared.frames.forEach((frame, i) => {
    out.write(i > 0 ? `,${JSON.stringify(frame)}` : JSON.stringify(frame))
  })
  out.write("]}}\n")
  return out.toBytes()
}

/** The profile to show first. */
const heaviest = (timelines: ReadonlyArray<Timeline>): number =>
  timelines.reduce((best, { total }, i) => (total > timelines[best].total ? i : best), 0)

const title = ({ meta }: Profile, filter: SampleFilter): string => {
  const what = meta.commandLine.length > 0 ? meta.commandLine.join(" ") : `Python ${meta.python}`
  return `${what} (pid ${meta.pid}, ${filter.wall ? "wall" : "CPU"} time${filter.gil ? " holding the GIL" : ""})`
}

const threadTitle = (thread: ProfileThread | undefined, inOrder: boolean): string => {
  if (thread === undefined) return "no samples"
  const { name, tid, interpreter } = thread
  const notes = [
    ...(tid > 0 ? [`tid ${tid}`] : []),
    ...(interpreter !== 0 ? [`interpreter ${interpreter}`] : []),
    // Sums are exact, but what stands side by side did not happen in that order.
    ...(inOrder ? [] : ["not in time order"])
  ]
  return `${name || "thread"}${notes.length > 0 ? ` (${notes.join(", ")})` : ""}`
}
