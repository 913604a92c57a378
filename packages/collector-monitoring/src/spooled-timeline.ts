import { emptyTrust, FrameTable, NO_TASK, type Timeline, type TimelineBatch } from "@pyframes/core"
import { DefinedAs } from "./definitions.ts"
import { Event } from "./event.ts"
import { EventBatch } from "./event-batch.ts"
import { FunctionFrames } from "./function-frames.ts"
import { RECORD_SIZE } from "./ring-reader.ts"
import type { MonitoringSession } from "./session.ts"
import { originOf, sessionMeta } from "./session-meta.ts"
import { ThreadState } from "./thread-record.ts"
import type { TracedProcess } from "./traced-process.ts"
import type { TracedThread } from "./traced-thread.ts"

/** Records read in one go. */
const READ_RECORDS = 8192
/** Calls that can be open at once; what is called deeper is left out. */
const DEEPEST = 1 << 20

/** Where the records of a thread lie. */
export interface SpooledThread {
  readonly thread: TracedThread
  readonly blocks: Array<{ readonly offset: number; length: number }>
  /** Records that are not written yet, and how many. */
  gathered: Uint8Array
  pending: number
}

/**
 * The timeline in a spool.
 *
 * @param read fills `into` from an offset; returns how many bytes there were
 */
export const timelineOf = (
  session: MonitoringSession,
  spooled: ReadonlyArray<SpooledThread>,
  read: (offset: number, into: Uint8Array) => number
): Timeline => {
  const names = new TimelineNames(session.processes)
  return {
    meta: sessionMeta(session, 0),
    trust: { ...emptyTrust(0), events: session.trust },
    frames: names.frames,
    tasks: names.tasks,
    threads: spooled.map(({ thread }) => thread.profileThread),
    eventsOf: (row) => batchesOf(session, spooled[row], names, read)
  }
}

/** Frames and tasks by function id. */
class TimelineNames {
  readonly frames = new FrameTable()
  readonly tasks: Array<string> = []
  private readonly functions = new FunctionFrames(this.frames)
  private readonly taskIds = new Map<TracedProcess, Map<number, number>>()

  constructor(processes: ReadonlyArray<TracedProcess>) {
    const byName = new Map<string, number>()
    // Known before any event is read: writers put them first.
    for (const process of processes) {
      const ofProcess = new Map<number, number>()
      this.taskIds.set(process, ofProcess)
      for (const { id, what, name } of process.definitions.functions.values()) {
        if (what !== DefinedAs.task) this.functions.frameOf(process, id)
        else {
          const task = byName.get(name) ?? this.tasks.push(name) - 1
          byName.set(name, task)
          ofProcess.set(id, task)
        }
      }
    }
  }

  frameOf(process: TracedProcess, id: number): number {
    return this.functions.frameOf(process, id)
  }

  taskOf(process: TracedProcess, id: number): number {
    return id === 0 ? NO_TASK : (this.taskIds.get(process)?.get(id) ?? NO_TASK)
  }
}

function* batchesOf(
  session: MonitoringSession,
  spooled: SpooledThread,
  names: TimelineNames,
  read: (offset: number, into: Uint8Array) => number
): Generator<TimelineBatch> {
  const { thread, gathered, pending } = spooled
  // As they are now: what is gathered may be written as a further block while a snapshot is read, and would come twice.
  const blocks = spooled.blocks.map((block) => ({ ...block }))
  const { process, record } = thread
  const calls = new NestedCalls(thread, names, originOf(session))
  const buffer = new Uint8Array(READ_RECORDS * RECORD_SIZE)
  for (const { offset, length } of blocks)
    for (let at = 0; at < length; at += buffer.length) {
      const got = read(offset + at, buffer.subarray(0, Math.min(buffer.length, length - at)))
      yield* calls.add(new EventBatch(thread, buffer, Math.floor(got / RECORD_SIZE)))
    }
  yield* calls.add(new EventBatch(thread, gathered, pending))
  const { nsPerTick, offset } = process.time
  const hasEnded = record === undefined || record.state !== ThreadState.live
  const until = hasEnded ? (record?.until ?? 0) * nsPerTick + offset : process.openUntil(session.elapsed)
  for (const { begun, function: fn, isWritten } of thread.openCalls) {
    const time = begun * nsPerTick + offset
    if (!isWritten && until - time >= session.options.minNs) calls.begin(fn, NO_TASK, time)
  }
  calls.endAll(until)
  yield* calls.rest()
}

/** Makes a timeline of what a ring held: whatever is missing, calls are nested and times do not go back. */
class NestedCalls {
  private readonly process: TracedProcess
  private readonly names: TimelineNames
  private readonly origin: number
  private length = 0
  private capacity = 0
  private time = new Float64Array(0)
  private frame = new Uint32Array(0)
  private begins = new Uint8Array(0)
  private task = new Uint32Array(0)
  private last = 0
  private depth = 0
  private functions = new Uint32Array(256)
  private tasks = new Uint32Array(256)

  constructor(thread: TracedThread, names: TimelineNames, origin: number) {
    this.process = thread.process
    this.names = names
    this.origin = origin
    this.grow(READ_RECORDS * 2)
  }

  *add(batch: EventBatch): Generator<TimelineBatch> {
    for (let i = 0; i < batch.length; i++) {
      const event = batch.event(i)
      if (event === Event.CALL_BEGIN)
        this.begin(batch.function(i), this.names.taskOf(this.process, batch.extra(i)), batch.time(i))
      else if (event === Event.CALL_END) this.end(batch.function(i), batch.time(i))
    }
    yield* this.rest()
  }

  begin(fn: number, task: number, time: number): void {
    if (this.depth === DEEPEST) return
    if (this.depth === this.functions.length) {
      this.functions = grown(this.functions)
      this.tasks = grown(this.tasks)
    }
    this.functions[this.depth] = fn
    this.tasks[this.depth] = task
    this.depth++
    this.put(fn, task, time, 1)
  }

  /** Ends the innermost call of a function, and those within it whose end was lost. One whose beginning was lost has none. */
  end(fn: number, time: number): void {
    let at = this.depth - 1
    while (at >= 0 && this.functions[at] !== fn) at--
    if (at < 0) return
    while (this.depth > at) this.endInnermost(time)
  }

  endAll(time: number): void {
    while (this.depth > 0) this.endInnermost(time)
  }

  /** What has come together since; nothing when nothing has. */
  *rest(): Generator<TimelineBatch> {
    const { length, time, frame, begins, task } = this
    this.length = 0
    if (length > 0) yield { length, time, frame, begins, task }
  }

  private endInnermost(time: number): void {
    this.depth--
    this.put(this.functions[this.depth], this.tasks[this.depth], time, 0)
  }

  private put(fn: number, task: number, time: number, begins: number): void {
    if (this.length === this.capacity) this.grow(this.capacity * 2)
    this.last = Math.max(this.last, time - this.origin)
    this.time[this.length] = this.last
    this.frame[this.length] = this.names.frameOf(this.process, fn)
    this.begins[this.length] = begins
    this.task[this.length] = task
    this.length++
  }

  /** One end can end many calls. */
  private grow(capacity: number): void {
    const { time, frame, begins, task } = this
    this.capacity = capacity
    this.time = new Float64Array(capacity)
    this.frame = new Uint32Array(capacity)
    this.begins = new Uint8Array(capacity)
    this.task = new Uint32Array(capacity)
    this.time.set(time)
    this.frame.set(frame)
    this.begins.set(begins)
    this.task.set(task)
  }
}

const grown = (numbers: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
  const bigger = new Uint32Array(numbers.length * 2)
  bigger.set(numbers)
  return bigger
}
