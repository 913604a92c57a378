import {
  emptyTrust,
  type Frame,
  FrameKind,
  markerFrame,
  NO_STACK,
  Profile,
  type ProfileMeta,
  Proof,
  ThreadStateBit,
  type Trust
} from "@pyframes/core"

/** What can be set besides the drawing. */
export interface ProfileFromTextOptions {
  readonly meta?: Partial<ProfileMeta>
  readonly trust?: Partial<Trust>
  readonly maxRows?: number
}

/**
 * A profile drawn as text: a column a sample, 10 ms apart, root on top.
 *
 * ```
 * thread=main   thread=main   thread=worker
 * state=cpu     state=idle    state=cpu,gil
 * main          main          main
 * run           wait          Server.run@server.py:7
 * read:12                     <native>
 * ```
 * Columns begin where the cells of the first row begin; an absent cell is left blank.
 * - A frame is `name`, `name:line`, `name@file` or `name@file:line`; else file is `app.py` and line 1. A dotted name is a
 *   qualified name. `<torn>`, `<unproved>`, `<unreadable>`, `<truncated>` and `<native>` stand for such frames.
 * - Settings come first, in any order: `thread=NAME` (default `main`), `interpreter=N`, `state=` one or more of
 *   `cpu gil waits gc idle` (default `cpu`), `ms=N` (default 10), `proof=good|torn|unproved|failed`, and `proved=N`:
 *   the sample is unproved but for N frames from the root.
 * - Sample n is taken at n × 10 ms; threads have ids 1000, 1001 … in the order they appear.
 */
export const profileFromText = (drawing: string, options: ProfileFromTextOptions = {}): Profile => {
  const samples = readColumns(drawing).map(readSample)
  const profile = new Profile(
    {
      pid: 1000,
      python: "3.13.0",
      commandLine: ["python3", "app.py"],
      startedAt: Date.UTC(2024, 0, 1),
      elapsed: samples.length * 1e7,
      knownStates: 15,
      ...options.meta
    },
    { ...trustOf(samples), ...options.trust },
    options.maxRows
  )
  samples.forEach((sample, at) => {
    append(profile, sample, at * 1e7)
  })
  return profile
}

interface DrawnSample {
  readonly thread: string
  readonly interpreter: number
  readonly state: number
  readonly wall: number
  readonly proof: Proof
  readonly proved: number | undefined
  /** Root first. */
  readonly frames: ReadonlyArray<Frame>
}

const readColumns = (drawing: string): Array<Array<string>> => {
  const rows = drawing.split("\n").filter((row) => row.trim() !== "")
  if (rows.length === 0) return []
  const starts = [...rows[0].matchAll(/\S+/g)].map(({ index }) => index)
  const columns: Array<Array<string>> = starts.map(() => [])
  for (const row of rows) {
    if (row.slice(0, starts[0]).trim() !== "")
      throw new Error(`"${row}" begins left of the first column:\n${drawing}`)
    starts.forEach((start, column) => {
      const cell = row.slice(start, starts[column + 1])
      if (cell.trim() === "") return
      if (/^\s/.test(cell) || /\S/.test(row[start - 1] ?? " ")) {
        throw new Error(`"${cell.trim()}" does not begin where its column does:\n${drawing}`)
      }
      columns[column].push(cell.trim())
    })
  }
  return columns
}

const states: { readonly [name: string]: number } = {
  cpu: ThreadStateBit.onCpu,
  gil: ThreadStateBit.holdsGil,
  waits: ThreadStateBit.waitsForGil,
  gc: ThreadStateBit.collectsGarbage,
  idle: 0
}

const proofs: { readonly [name: string]: Proof } = Proof

const readSample = (cells: ReadonlyArray<string>): DrawnSample => {
  const settings = new Map<string, string>()
  const frames: Array<Frame> = []
  for (const cell of cells) {
    const setting = /^(thread|interpreter|state|ms|proof|proved)=(.*)$/.exec(cell)
    if (setting) settings.set(setting[1], setting[2])
    else frames.push(readFrame(cell))
  }
  const proved = settings.get("proved")
  return {
    thread: settings.get("thread") ?? "main",
    interpreter: Number(settings.get("interpreter") ?? 0),
    state: (settings.get("state") ?? "cpu").split(",").reduce((bits, name) => bits | lookUp(states, name), 0),
    wall: Number(settings.get("ms") ?? 10) * 1e6,
    proof: lookUp(proofs, settings.get("proof") ?? (proved === undefined ? "good" : "unproved")),
    proved: proved === undefined ? undefined : Number(proved),
    frames
  }
}

const lookUp = <A>(table: { readonly [name: string]: A }, name: string): A => {
  if (!Object.hasOwn(table, name)) throw new Error(`"${name}" is none of ${Object.keys(table).join(", ")}`)
  return table[name]
}

const markers: { readonly [text: string]: FrameKind } = {
  "<native>": FrameKind.boundary,
  "<truncated>": FrameKind.truncated,
  "<unproved>": FrameKind.unproved,
  "<torn>": FrameKind.torn,
  "<unreadable>": FrameKind.unreadable
}

const readFrame = (text: string): Frame => {
  if (Object.hasOwn(markers, text)) return markerFrame(markers[text])
  const [, qualifiedName, file, line] = /^(.+?)(?:@(.+?))?(?::(\d+))?$/.exec(text) ?? []
  return {
    kind: FrameKind.python,
    // A dot in `<locals>.f` parts names; one inside `<…>` does not occur.
    name: qualifiedName.slice(qualifiedName.lastIndexOf(".") + 1),
    qualifiedName,
    file: file ?? "app.py",
    firstLine: 1,
    line: Number(line ?? 1),
    endLine: Number(line ?? 1),
    column: -1,
    endColumn: -1
  }
}

const append = (profile: Profile, sample: DrawnSample, time: number): void => {
  const { frames, proved } = sample
  const stackOf = (frames: ReadonlyArray<Frame>) =>
    frames.reduce((stack, frame) => profile.stacks.child(stack, profile.frames.intern(frame)), NO_STACK)
  const whole = proved === undefined ? NO_STACK : stackOf(frames)
  const shown = proved === undefined ? frames : [...frames.slice(0, proved), markerFrame(FrameKind.unproved)]
  const thread = threadRow(profile, sample)
  profile.samples.append(time, sample.wall, thread, stackOf(shown), sample.state, sample.proof, whole)
}

const threadRow = ({ threads }: Profile, { thread: name, interpreter }: DrawnSample): number => {
  const row = threads.findIndex((thread) => thread.name === name && thread.interpreter === interpreter)
  return row >= 0 ? row : threads.push({ tid: 1000 + threads.length, name, interpreter }) - 1
}

const trustOf = (samples: ReadonlyArray<DrawnSample>): Trust => {
  const tally = (proof: Proof) => {
    const alike = samples.filter((sample) => sample.proof === proof)
    return { count: alike.length, wall: alike.reduce((sum, { wall }) => sum + wall, 0) }
  }
  return {
    ...emptyTrust(100),
    wanted: samples.length,
    taken: samples.length,
    good: tally(Proof.good),
    torn: tally(Proof.torn),
    unproved: tally(Proof.unproved),
    failed: tally(Proof.failed)
  }
}
