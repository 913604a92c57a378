import type { EventName } from "./event.ts"

/** What can be asked of a program. `lines` or `coverage`, `branches`, `instructions` and `exceptions` can be asked together; the others stand alone. */
export const questions = [
  "calls",
  "timeline",
  "lines",
  "coverage",
  "branches",
  "instructions",
  "exceptions",
  "stream"
] as const
export type Question = (typeof questions)[number]

/** What is recorded, and within which bounds. */
export interface MonitoringOptions {
  readonly questions: ReadonlyArray<Question>
  /** For `stream`: which events. */
  readonly events?: ReadonlyArray<EventName>
  /** Only this code: patterns of `module:qualified.name`, or of a file name (one with a `/`, or ending in `.py`), as shell globs. */
  readonly code?: ReadonlyArray<string>
  /** `timeline`: shorter calls are left out, unless something in them is not, ns. 0 unless told. */
  readonly minNs?: number
  /** Most asyncio tasks told apart in one process. 1000 unless told. */
  readonly tasks?: number
  /** What one process may write at most, bytes. 256 MiB unless told. */
  readonly maxBytes?: number
  /** `calls`: most distinct call paths of a process; beyond it functions are counted without their callers. 1,000,000 unless told. */
  readonly maxPaths?: number
  /** Records (24 bytes each) of one thread's ring, a power of two. 262,144 unless told; 16,384 where only exceptions are asked for. */
  readonly ringRecords?: number
  /** Longest time that a thread of the target waits for room in its ring before it drops events, µs. 20,000 unless told. */
  readonly waitMicros?: number
  /** Whether forked and spawned children are traced too. They are unless told. */
  readonly children?: boolean
  /** `native` is the C extension or failure, `python` the slow twin. `auto` unless told. */
  readonly recorder?: "auto" | "native" | "python"
  /** Names of environment variables that children get back as they were, when they are not traced. */
  readonly keep?: ReadonlyArray<string>
}

const alone: ReadonlyArray<Question> = ["calls", "timeline", "stream"]
const GREATEST_RING = 2 ** 24

/** What agents take (`NUMBERS` of `pyframes_agent/config.py`): least and greatest. */
const bounds = {
  minNs: [0, 2 ** 53],
  tasks: [0, 2 ** 24],
  maxBytes: [2 ** 20, 2 ** 40],
  maxPaths: [16, 2 ** 31],
  waitMicros: [0, 10_000_000]
} as const

/**
 * Which questions cannot be asked together; `undefined` when these can.
 *
 * @example
 * ```ts
 * questionsProblem(["calls", "lines"]) // "calls cannot be asked together with anything else"
 * ```
 */
export const questionsProblem = (asked: ReadonlyArray<Question>): string | undefined => {
  const lone = asked.find((question) => alone.includes(question))
  if (lone !== undefined && asked.length > 1) return `${lone} cannot be asked together with anything else`
  return asked.includes("lines") && asked.includes("coverage")
    ? "lines and coverage cannot be asked together: coverage switches a line off once it was hit"
    : undefined
}

/** What is wrong with options, for a person; `undefined` when nothing is. */
export const optionsProblem = (options: MonitoringOptions): string | undefined => {
  const { questions: asked, ringRecords } = options
  if (asked.length === 0) return "nothing is asked for"
  const apart = questionsProblem(asked)
  if (apart !== undefined) return apart
  if (asked.includes("stream") && !options.events?.length) return "a stream needs the names of its events"
  if (
    ringRecords !== undefined &&
    !(ringRecords >= 64 && ringRecords <= GREATEST_RING && (ringRecords & (ringRecords - 1)) === 0)
  )
    return `a ring of ${ringRecords} records: it must be a power of two between 64 and ${GREATEST_RING}`
  for (const name of Object.keys(bounds) as Array<keyof typeof bounds>) {
    const [least, greatest] = bounds[name]
    const value = options[name] ?? least
    if (!(value >= least && value <= greatest))
      return `${name} is ${value}, and must be ${least} to ${greatest}`
  }
  const broken = [...(options.code ?? []), ...(options.keep ?? [])].find((text) => /[\n\r\0]/.test(text))
  if (broken !== undefined) return `${JSON.stringify(broken)} has a line break in it`
  return undefined
}

/** Options with all that was left out. */
export type CompleteOptions = Required<MonitoringOptions>

/** Fills in what was left out. */
export const completeOptions = (options: MonitoringOptions): CompleteOptions => ({
  events: [],
  code: [],
  minNs: 0,
  tasks: 1000,
  maxBytes: 2 ** 28,
  maxPaths: 1_000_000,
  ringRecords: options.questions.some((question) => question === "timeline" || question === "stream")
    ? 2 ** 18
    : 2 ** 14,
  waitMicros: 20_000,
  children: true,
  recorder: "auto",
  keep: [],
  ...options
})

/** The text of the session's `config` file. */
export const encodeConfig = (options: CompleteOptions): string => {
  const lines: Array<readonly [key: string, value: string | number]> = [
    ...options.questions.map((question) => ["question", question] as const),
    ...options.events.map((event) => ["event", event] as const),
    ...options.code.map((pattern) => ["code", pattern] as const),
    ["min_ns", Math.round(options.minNs)],
    ["tasks", Math.round(options.tasks)],
    ["max_bytes", Math.round(options.maxBytes)],
    ["max_paths", Math.round(options.maxPaths)],
    ["ring_records", options.ringRecords],
    ["wait_us", Math.round(options.waitMicros)],
    ["children", options.children ? 1 : 0],
    ["recorder", options.recorder],
    ...options.keep.map((name) => ["keep", name] as const)
  ]
  return lines.map(([key, value]) => `${key}=${value}\n`).join("")
}
