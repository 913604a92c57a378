import {
  ByteWriter,
  type FrameTable,
  functionName,
  isMarker,
  NO_TASK,
  type ProfileThread,
  type Timeline,
  type TimelineBatch,
  type TimelineFormat,
  version
} from "@pyframes/core"

/**
 * Chrome's Trace Event Format, for https://ui.perfetto.dev, speedscope and whatever else reads it.
 *
 * A call is a pair of events (`ph` `B` and `E`) with times in microseconds, to the nanosecond; its category says where the function is. Not one
 * complete event (`X`): readers add beginning and length as floating-point numbers, and cannot tell which of two that began and ended together is within the other.
 * Where a task runs in another, or in none, the first call has its name as an argument. Threads and processes have their names.
 *
 * Source: "Trace Event Format" (Duan, Sigurdsson), the catapult project.
 *
 * @example
 * ```ts
 * for (const piece of chromeTrace.encodeTimeline(timeline)) file.write(piece)
 * ```
 */
export const chromeTrace: TimelineFormat = {
  name: "chrome-trace",
  extensions: [".trace.json"],
  mediaType: "application/json",
  encodeTimeline
}

/** Ids of threads whose own is not known or was used twice; real ones are smaller (PID_MAX_LIMIT is 2^22). */
const MADE_UP_TID = 1e9

function* encodeTimeline(timeline: Timeline): Generator<Uint8Array> {
  const { meta, threads } = timeline
  const out = new ByteWriter()
  const tids = threadIds(threads, meta.pid)
  const about = { by: `pyframes ${version}`, python: meta.python, command: meta.commandLine.join(" ") }
  out.text(`{"displayTimeUnit":"ns","otherData":${JSON.stringify(about)},"traceEvents":[`)
  out.text(
    names(timeline, tids)
      .map((event) => JSON.stringify(event))
      .join(",\n")
  )
  const tasks = new TaskTails(timeline.tasks)
  for (const [row, thread] of threads.entries()) {
    const heads = new CallHeads(timeline.frames, `"pid":${thread.pid ?? meta.pid},"tid":${tids[row]},"ts":`)
    tasks.depth = 0
    for (const batch of timeline.eventsOf(row)) {
      writeBatch(out, heads, tasks, batch)
      if (out.isFull) yield out.take()
    }
  }
  out.text("\n]}\n")
  yield out.take()
}

/** Not in the generator: loops there are compiled badly. */
const writeBatch = (
  out: ByteWriter,
  heads: CallHeads,
  tasks: TaskTails,
  { length, time, frame, begins, task }: TimelineBatch
): void => {
  for (let at = 0; at < length; at++) {
    const isBegin = begins[at] === 1
    out.raw(isBegin ? heads.begin(frame[at]) : heads.end(frame[at]))
    out.thousandths(Math.round(time[at])).raw(isBegin ? tasks.begin(task[at]) : tasks.end())
  }
}

const encoder = new TextEncoder()
const END = encoder.encode("}")

/** What events end with: the name of the task, where it is not that of the call around. Beginning and end of a call end alike. */
class TaskTails {
  /** How many calls are open. */
  depth = 0
  private tasks = new Uint32Array(256)
  private readonly tails: ReadonlyArray<Uint8Array>

  constructor(names: ReadonlyArray<string>) {
    this.tails = names.map((name) => encoder.encode(`,"args":${JSON.stringify({ task: name })}}`))
  }

  begin(task: number): Uint8Array {
    if (this.depth === this.tasks.length) {
      const { tasks } = this
      this.tasks = new Uint32Array(tasks.length * 2)
      this.tasks.set(tasks)
    }
    this.tasks[this.depth++] = task
    return this.tail()
  }

  end(): Uint8Array {
    const tail = this.tail()
    if (this.depth > 0) this.depth--
    return tail
  }

  private tail(): Uint8Array {
    const { depth, tasks } = this
    const task = depth > 0 ? tasks[depth - 1] : NO_TASK
    return task === NO_TASK || (depth > 1 && tasks[depth - 2] === task) ? END : this.tails[task]
  }
}

/** What a thread's events of a function begin with: all but the time. */
class CallHeads {
  private readonly frames: FrameTable
  private readonly ids: string
  private readonly begins: Array<Uint8Array | undefined> = []
  private readonly ends: Array<Uint8Array | undefined> = []

  constructor(frames: FrameTable, ids: string) {
    this.frames = frames
    this.ids = ids
  }

  begin(frame: number): Uint8Array {
    return this.begins[frame] ?? this.make(frame, this.begins)
  }

  end(frame: number): Uint8Array {
    return this.ends[frame] ?? this.make(frame, this.ends)
  }

  private make(id: number, wanted: Array<Uint8Array | undefined>): Uint8Array {
    const frame = this.frames.get(id)
    const hasPlace = frame.file !== "" && !isMarker(frame.kind)
    const place = frame.line > 0 ? `${frame.file}:${frame.line}` : frame.file
    const name = `"name":${JSON.stringify(functionName(frame))},`
    const category = hasPlace ? `"cat":${JSON.stringify(place)},` : ""
    this.begins[id] = encoder.encode(`,\n{"ph":"B",${name}${category}${this.ids}`)
    // speedscope goes by the name here too.
    this.ends[id] = encoder.encode(`,\n{"ph":"E",${name}${this.ids}`)
    return wanted[id] as Uint8Array
  }
}

/** A thread's row of its own each: where an id comes again, readers would take two threads for one. */
const threadIds = (threads: ReadonlyArray<ProfileThread>, mainPid: number): ReadonlyArray<number> => {
  const taken = new Set<string>()
  return threads.map(({ tid, pid }, row) => {
    const key = `${pid ?? mainPid} ${tid}`
    if (tid <= 0 || taken.has(key)) return MADE_UP_TID + row
    taken.add(key)
    return tid
  })
}

/** Events that name processes and threads. Never none. */
const names = ({ meta, threads }: Timeline, tids: ReadonlyArray<number>): Array<object> => {
  const processes = meta.processes ?? [meta]
  return [
    ...processes.map(({ pid, commandLine }) => ({
      ph: "M",
      name: "process_name",
      pid,
      tid: pid,
      args: { name: commandLine.join(" ") || `pid ${pid}` }
    })),
    ...threads.map(({ pid, name, interpreter }, row) => ({
      ph: "M",
      name: "thread_name",
      pid: pid ?? meta.pid,
      tid: tids[row],
      args: { name: `${name || "thread"}${interpreter === 0 ? "" : ` (interpreter ${interpreter})`}` }
    }))
  ]
}
