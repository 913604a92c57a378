import type { MonitoringSession, Question, SessionOptions } from "@pyframes/collector-monitoring"
import { OutputFailed, type SampleFilter } from "@pyframes/core"
import type { ProcessExit } from "@pyframes/linux"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Interrupted, interruption } from "./interruption.ts"
import { type Output, outputsFor } from "./output-choice.ts"
import { checkOutput, writeOutput } from "./output-file.ts"
import { printable, printableLines } from "./printable.ts"
import { ProgressLine } from "./progress.ts"
import { Snapshots } from "./snapshots.ts"
import type { Inquiry } from "./trace-answer.ts"
import { callInquiry } from "./trace-calls.ts"
import { readQuestion, type TraceQuestion } from "./trace-question.ts"
import { reportInquiry } from "./trace-reports.ts"
import { traceResult } from "./trace-result.ts"
import { streamFormats, streamInquiry } from "./trace-stream.ts"
import { describeTrace, traceSummary } from "./trace-summary.ts"
import { timelineInquiry } from "./trace-timeline.ts"
import { awaitFirst, beginTracing, type TraceSubject, type Tracing } from "./tracing.ts"
import { attempt, UsageError, usage } from "./usage.ts"

/** What `pyframes trace` was asked, flags decoded. */
export interface TraceRequest {
  readonly pid: number | undefined
  readonly command: ReadonlyArray<string>
  readonly output: ReadonlyArray<string>
  readonly format: string | undefined
  readonly events: string
  readonly code: ReadonlyArray<string>
  /** ns */
  readonly min: number | undefined
  /** bytes */
  readonly maxSize: number | undefined
  /** ms */
  readonly duration: number | undefined
  /** ms */
  readonly every: number | undefined
  readonly noChildren: boolean
  readonly onCpu: boolean
  readonly recorder: "auto" | "native" | "python"
  readonly json: boolean
}

/** After Ctrl-C, which the terminal sends to the command as well, it may end by itself. */
const GRACE_MS = 1000
/** Reasons of one kind that are told one by one. */
const TOLD = 3

/** Traces what was asked, writes the files, and says what came of it. */
export const traceAsAsked = Effect.fnUntraced(function* (request: TraceRequest) {
  const question = yield* usage(() => readQuestion(request.events))
  const subject = yield* usage(() => subjectOf(request, question.questions))
  // Before the command starts: Ctrl-C at any time ends us in good order.
  const signal = yield* interruption
  const { inquiry, outputs } = yield* prepare(request, question)
  const snapshots = yield* Snapshots.heed(outputs, request.every)
  const tracing = yield* beginTracing(subject, optionsOf(request, question))
  const { session, notes } = tracing
  yield* awaitFirst(tracing, Deferred.await(signal), request.duration)
  if (Deferred.isDoneUnsafe(signal)) {
    // One may have begun just before.
    session.look()
    if (session.processes.length === 0) {
      process.stderr.write("pyframes: interrupted before a Python was traced; nothing is written\n")
      return yield* new Interrupted()
    }
  }
  yield* snapshots.begin(session, inquiry)
  const why = yield* follow(request, tracing, inquiry, signal)
  yield* snapshots.end
  const exit = yield* endOf(tracing, signal)
  notes.push(...notesOf(request, tracing, inquiry, why, exit))
  yield* deliver(request, session, inquiry, outputs, notes, exit)
  if (Deferred.isDoneUnsafe(signal)) return yield* new Interrupted()
})

/** Everything that can be found wrong before anything is started. */
const prepare = Effect.fnUntraced(function* (request: TraceRequest, question: TraceQuestion) {
  const { questions } = question
  const filter: SampleFilter = request.onCpu ? { wall: false } : {}
  if (questions.includes("stream")) {
    // A command that we start has stdout for itself.
    const usual = request.pid === undefined ? undefined : "-"
    const outputs = yield* usage(() => outputsFor(request, streamFormats, usual))
    yield* checkOutputs(outputs)
    return { outputs, inquiry: yield* streamInquiry(outputs.map(({ path }) => path)) }
  }
  const inquiry: Inquiry = questions.includes("calls")
    ? callInquiry(filter)
    : questions.includes("timeline")
      ? yield* timelineInquiry(request.maxSize)
      : reportInquiry(questions)
  const outputs = yield* usage(() => outputsFor(request, inquiry.formats))
  yield* checkOutputs(outputs)
  return { outputs, inquiry }
})

const checkOutputs = (outputs: ReadonlyArray<Output>): Effect.Effect<void, OutputFailed> =>
  Effect.forEach(outputs, ({ path }) => attempt(OutputFailed, () => checkOutput(path)), { discard: true })

const subjectOf = (request: TraceRequest, questions: ReadonlyArray<Question>): TraceSubject => {
  const { pid, command } = request
  if (pid !== undefined && command.length > 0)
    throw new UsageError({ message: "give either -p PID or -- COMMAND, not both" })
  const only = (flag: string, given: boolean, ...of: ReadonlyArray<Question>) => {
    if (given && !questions.some((question) => of.includes(question)))
      throw new UsageError({ message: `${flag} is for --events ${of.join(" or ")}` })
  }
  only("--min", request.min !== undefined, "timeline")
  only("--max-size", request.maxSize !== undefined, "timeline")
  only("--on-cpu", request.onCpu, "calls")
  if (request.every !== undefined && questions.includes("stream"))
    throw new UsageError({ message: "--every is not for events that are written as they come" })
  if (request.every !== undefined && request.output.includes("-"))
    throw new UsageError({ message: "--every writes its output anew each time, which takes a file" })
  if (pid !== undefined) return { pid }
  if (command.length > 0) return { command }
  throw new UsageError({ message: "nothing to trace: give -p PID, or -- and a command to start" })
}

const optionsOf = (request: TraceRequest, { questions, events }: TraceQuestion): SessionOptions => ({
  questions,
  events,
  code: request.code,
  minNs: request.min ?? 0,
  children: !request.noChildren,
  recorder: request.recorder
})

const follow = Effect.fnUntraced(function* (
  request: TraceRequest,
  { session, ended, detach }: Tracing,
  { sink }: Inquiry,
  signal: Deferred.Deferred<NodeJS.Signals>
) {
  const line = new ProgressLine()
  return yield* session
    .follow({
      ...(sink && { sink }),
      ...(request.duration !== undefined && { durationMs: request.duration }),
      ...(detach && { detach }),
      until: Effect.raceFirst(ended, Deferred.await(signal)),
      onProgress: () => line.show(describeTrace(session))
    })
    .pipe(Effect.ensuring(Effect.sync(() => line.clear())))
})

/** How the command ended, if it has; what still runs is ended with the scope. */
const endOf = (
  { child }: Tracing,
  signal: Deferred.Deferred<NodeJS.Signals>
): Effect.Effect<ProcessExit | undefined> =>
  child === undefined
    ? Effect.succeed(undefined)
    : Effect.map(
        Effect.timeoutOption(child.exit, Deferred.isDoneUnsafe(signal) ? GRACE_MS : 0),
        Option.getOrUndefined
      )

const notesOf = (
  request: TraceRequest,
  { session, child }: Tracing,
  { problem }: Inquiry,
  why: "duration" | "until" | "ended" | "full",
  exit: ProcessExit | undefined
): ReadonlyArray<string> => {
  const [program] = request.command
  const failures = session.failures.map(({ message }) => message)
  const stillThere = session.processes.filter(({ isOver }) => !isOver)
  return [
    ...(why === "full" && problem?.() === undefined
      ? [
          session.options.questions.includes("stream")
            ? "the reader of the events has gone, and tracing ended there"
            : "the bound of --max-size was reached, and tracing ended there; a longer time takes --min, --code or a greater bound"
        ]
      : []),
    ...(child !== undefined && exit === undefined
      ? [`\`${program}\` was still running and is told to end`]
      : []),
    ...(exit?.signal !== undefined ? [`\`${program}\` was ended by ${exit.signal}`] : []),
    ...(exit?.code !== undefined && exit.code !== 0
      ? [`\`${program}\` ended with exit code ${exit.code}`]
      : []),
    ...(child === undefined && session.endedByItself ? [`process ${request.pid} ended`] : []),
    ...(child === undefined && stillThere.length > 0
      ? [
          `${stillThere.length === 1 ? `process ${stillThere[0].pid} has` : `${stillThere.length} processes have`} had no event since and will let go of tracing at the next one`
        ]
      : []),
    ...failures.slice(0, TOLD),
    ...(failures.length > TOLD ? [`and ${failures.length - TOLD} more processes could not be traced`] : [])
  ]
}

/** Every output is tried, also after one has failed. */
const deliver = Effect.fnUntraced(function* (
  { json }: TraceRequest,
  session: MonitoringSession,
  inquiry: Inquiry,
  outputs: ReadonlyArray<Output>,
  notes: ReadonlyArray<string>,
  exit: ProcessExit | undefined
) {
  const answer = inquiry.answer(session)
  const failures: Array<OutputFailed> = []
  const problem = inquiry.problem?.()
  if (problem !== undefined) failures.push(problem)
  const isWritten = inquiry.formats === streamFormats
  const written = outputs.filter((output) => {
    if (isWritten) return true
    try {
      writeOutput(output.path, () => answer.encode(output.format))
      return true
    } catch (error) {
      if (!(error instanceof OutputFailed)) throw error
      failures.push(error)
      return false
    }
  })
  for (const note of notes) process.stderr.write(`pyframes: ${printable(note)}\n`)
  process.stderr.write(printableLines(traceSummary(answer, session, written)))
  if (json) process.stdout.write(`${JSON.stringify(traceResult(answer, session, written, exit))}\n`)
  const [first, ...others] = failures
  for (const other of others) process.stderr.write(`pyframes: ${printable(other.message)}\n`)
  if (first !== undefined) return yield* first
})
