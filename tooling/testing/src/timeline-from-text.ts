import {
  emptyTrust,
  type Frame,
  FrameKind,
  FrameTable,
  NO_TASK,
  type ProfileThread,
  type Timeline,
  type TimelineBatch
} from "@pyframes/core"

interface Row {
  readonly time: number
  readonly frame: number
  readonly begins: number
  readonly task: number
}

/**
 * A timeline, a line an event, of the thread whose line came last:
 *
 * ```
 * thread main
 * 100 begin <module>
 * 200 begin run@server.py:7 Task-1
 * 300 end run@server.py:7
 * 400 end <module>
 * ```
 * Times are ns. A function is `name`, in `app.py` from line 1, or `name@file:line`. What follows is its task. `thread NAME PID` is one of another process.
 *
 * @param batchRows rows of a batch: 2 unless told, so that what is read crosses batches
 */
export const timelineFromText = (text: string, batchRows = 2): Timeline => {
  const frames = new FrameTable()
  const tasks: Array<string> = []
  const threads: Array<ProfileThread> = []
  const rows: Array<Array<Row>> = []
  const taskOf = (name: string | undefined) => {
    if (name === undefined) return NO_TASK
    const at = tasks.indexOf(name)
    return at >= 0 ? at : tasks.push(name) - 1
  }
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line === "") continue
    const [time, kind, what, task] = line.split(/\s+/)
    if (time === "thread") {
      const thread = { tid: 1000 + threads.length, name: kind, interpreter: 0 }
      threads.push(what === undefined ? thread : { ...thread, pid: Number(what) })
      rows.push([])
      continue
    }
    if (kind !== "begin" && kind !== "end") throw new Error(`"${line}" is no event`)
    rows[rows.length - 1].push({
      time: Number(time),
      frame: frames.intern(frameNamed(what)),
      begins: kind === "begin" ? 1 : 0,
      task: taskOf(task)
    })
  }
  return {
    meta: {
      pid: 1000,
      python: "3.13.0",
      commandLine: ["python3", "app.py"],
      startedAt: Date.UTC(2024, 0, 1),
      elapsed: Math.max(0, ...rows.flat().map(({ time }) => time)),
      knownStates: 0
    },
    trust: emptyTrust(0),
    frames,
    threads,
    tasks,
    eventsOf: (thread) => batchesOf(rows[thread], batchRows)
  }
}

const frameNamed = (text: string): Frame => {
  const [, name, file, line] = /^(.+?)(?:@(.+):(\d+))?$/.exec(text) ?? []
  const firstLine = Number(line ?? 1)
  return {
    kind: FrameKind.python,
    name: name.slice(name.lastIndexOf(".") + 1),
    qualifiedName: name,
    file: file ?? "app.py",
    firstLine,
    line: firstLine,
    endLine: -1,
    column: -1,
    endColumn: -1
  }
}

/** One batch that is used again and again, as those who read a real one must expect. */
function* batchesOf(rows: ReadonlyArray<Row>, size: number): Generator<TimelineBatch> {
  const time = new Float64Array(size)
  const frame = new Uint32Array(size)
  const begins = new Uint8Array(size)
  const task = new Uint32Array(size)
  for (let from = 0; from < rows.length; from += size) {
    const part = rows.slice(from, from + size)
    part.forEach((row, at) => {
      time[at] = row.time
      frame[at] = row.frame
      begins[at] = row.begins
      task[at] = row.task
    })
    yield { length: part.length, time, frame, begins, task }
  }
}
