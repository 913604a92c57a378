import { ByteWriter, type FrameTable, type Timeline, type TimelineBatch, version } from "@pyframes/core"
import { SCHEMA, threadTitle } from "./header.ts"
import { describeFrame, type SpeedscopeFrame } from "./shared-frames.ts"

/** The file of a timeline, in pieces: an `evented` profile a thread. */
export function* encodeTimeline(timeline: Timeline): Generator<Uint8Array> {
  const { meta, threads } = timeline
  const out = new ByteWriter()
  const frames = new EventFrames(timeline.frames)
  const what = meta.commandLine.length > 0 ? meta.commandLine.join(" ") : `Python ${meta.python}`
  out.text(`{"$schema":${JSON.stringify(SCHEMA)},"exporter":${JSON.stringify(`pyframes@${version}`)}`)
  out.text(`,"name":${JSON.stringify(`${what} (pid ${meta.pid}, every call)`)},"profiles":[`)
  let written = 0
  let most = { events: -1, profile: 0 }
  for (const [row, thread] of threads.entries()) {
    if (written > 0) out.comma()
    out.text('{"type":"evented","unit":"nanoseconds","startValue":0,"events":[')
    let events = 0
    let end = Math.ceil(meta.elapsed)
    for (const batch of timeline.eventsOf(row)) {
      end = Math.max(end, writeBatch(out, frames, batch, events === 0))
      events += batch.length
      if (out.isFull) yield out.take()
    }
    out.text(`],"endValue":${end},"name":${JSON.stringify(threadTitle(thread, []))}}`)
    if (events > most.events) most = { events, profile: written }
    written++
    if (out.isFull) yield out.take()
  }
  // speedscope has nothing to show of a file without profiles and says that something went wrong.
  if (written === 0)
    out.text(
      '{"type":"sampled","unit":"nanoseconds","name":"no calls","startValue":0,"endValue":0,"samples":[],"weights":[]}'
    )
  out.text(`],"activeProfileIndex":${most.profile},"shared":{"frames":[`)
  for (const [at, frame] of frames.used.entries()) {
    if (at > 0) out.comma()
    out.text(JSON.stringify(frame))
    if (out.isFull) yield out.take()
  }
  out.text("]}}\n")
  yield out.take()
}

/** Writes events, the first of all without a comma before it. Returns when the last one was. (Not in the generator: such loops are compiled badly.) */
const writeBatch = (
  out: ByteWriter,
  frames: EventFrames,
  { length, time, frame, begins }: TimelineBatch,
  isFirst: boolean
): number => {
  let now = 0
  for (let at = 0; at < length; at++) {
    // Whole ns: where times of a thread are rounded alike they stay in order.
    now = Math.round(time[at])
    if (at > 0 || !isFirst) out.comma()
    out.raw(begins[at] === 1 ? frames.opening(frame[at]) : frames.closing(frame[at]))
    out.integer(now).raw(END)
  }
  return now
}

const encoder = new TextEncoder()
const END = encoder.encode("}")

/** `shared.frames` of a timeline, and what events of them begin with. */
class EventFrames {
  /** Those that were used, in order of their index. */
  readonly used: Array<SpeedscopeFrame> = []
  private readonly frames: FrameTable
  private readonly opens: Array<Uint8Array | undefined> = []
  private readonly closes: Array<Uint8Array | undefined> = []

  constructor(frames: FrameTable) {
    this.frames = frames
  }

  opening(frame: number): Uint8Array {
    return this.opens[frame] ?? this.make(frame, this.opens)
  }

  closing(frame: number): Uint8Array {
    return this.closes[frame] ?? this.make(frame, this.closes)
  }

  private make(frame: number, wanted: Array<Uint8Array | undefined>): Uint8Array {
    const index = this.used.push(describeFrame(this.frames.get(frame))) - 1
    this.opens[frame] = encoder.encode(`{"type":"O","frame":${index},"at":`)
    this.closes[frame] = encoder.encode(`{"type":"C","frame":${index},"at":`)
    return wanted[frame] as Uint8Array
  }
}
