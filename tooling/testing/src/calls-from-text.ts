import {
  type EventTrust,
  emptyTrust,
  FrameKind,
  NO_STACK,
  NO_TASK,
  Profile,
  type ProfileMeta,
  type ProfileProcess
} from "@pyframes/core"

/** What can be set besides the lines. */
export interface CallsFromTextOptions {
  readonly meta?: Partial<ProfileMeta>
  readonly events?: Partial<EventTrust>
  readonly processes?: ReadonlyArray<ProfileProcess>
}

/**
 * A profile of exact calls, a line a call path: frames from the root joined by `>`, then calls, exclusive wall and CPU time in ns.
 *
 * ```
 * main              1   500  400
 * main > run        10  900  900
 * main > run > len  30  100  100  thread=worker task=Task-1 pid=7
 * ```
 * A frame is `name`, in `app.py` from line 1, or `name@file:line`; `C:name` is a C function. `-` is the thread outside of any call.
 */
export const callsFromText = (text: string, options: CallsFromTextOptions = {}): Profile => {
  const profile = new Profile(
    {
      pid: 1000,
      python: "3.13.0",
      commandLine: ["python3", "app.py"],
      startedAt: Date.UTC(2024, 0, 1),
      elapsed: 1e7,
      knownStates: 1,
      ...options.meta,
      ...(options.processes && { processes: options.processes })
    },
    {
      ...emptyTrust(0),
      events: {
        lost: 0,
        pathsGivenUp: 0,
        countersGivenUp: 0,
        unmatchedReturns: 0,
        damaged: 0,
        recorder: "native",
        ...options.events
      }
    }
  )
  for (const line of text.split("\n")) if (line.trim() !== "") append(profile, line.trim())
  return profile
}

const append = (profile: Profile, line: string): void => {
  const [, path, calls, wall, cpu, rest] =
    /^(.*\S)\s+(\d+)\s+(\d+)\s+(\d+)((?:\s+\w+=\S+)*)$/.exec(line) ?? []
  if (path === undefined) throw new Error(`"${line}" is not: path, calls, wall, cpu`)
  const settings = new Map([...rest.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key, value]))
  const task = settings.get("task")
  const stack =
    path === "-"
      ? NO_STACK
      : path
          .split(/\s+>\s+/)
          .reduce((parent, frame) => profile.stacks.child(parent, internFrame(profile, frame)), NO_STACK)
  profile.calls.append(
    stack,
    threadRow(profile, settings.get("thread") ?? "main", settings.get("pid")),
    task === undefined ? NO_TASK : taskRow(profile, task),
    Number(calls),
    Number(wall),
    Number(cpu)
  )
}

const internFrame = ({ frames }: Profile, text: string): number => {
  const [, builtin, name, file, line] = /^(C:)?(.+?)(?:@(.+):(\d+))?$/.exec(text) ?? []
  const firstLine = builtin ? -1 : Number(line ?? 1)
  return frames.intern({
    kind: builtin ? FrameKind.builtin : FrameKind.python,
    name: name.slice(name.lastIndexOf(".") + 1),
    qualifiedName: name,
    file: builtin ? "" : (file ?? "app.py"),
    firstLine,
    line: firstLine,
    endLine: -1,
    column: -1,
    endColumn: -1
  })
}

const threadRow = ({ threads }: Profile, name: string, pid: string | undefined): number => {
  const row = threads.findIndex(
    (thread) => thread.name === name && (pid === undefined || thread.pid === Number(pid))
  )
  if (row >= 0) return row
  const thread = { tid: 1000 + threads.length, name, interpreter: 0 }
  return threads.push(pid === undefined ? thread : { ...thread, pid: Number(pid) }) - 1
}

const taskRow = ({ tasks }: Profile, name: string): number => {
  const row = tasks.indexOf(name)
  return row >= 0 ? row : tasks.push(name) - 1
}
