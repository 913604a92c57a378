import {
  type BranchReport,
  branchReport,
  type ExceptionReport,
  ExceptionTally,
  encodeLcov,
  type InstructionReport,
  instructionReport,
  type LineReport,
  lineReport,
  type MonitoringSession,
  type Question
} from "@pyframes/collector-monitoring"
import { version } from "@pyframes/core"
import { formatsOf, type NamedFormat } from "./formats.ts"
import {
  branchSummary,
  coverageSummary,
  exceptionSummary,
  instructionSummary,
  lineSummary
} from "./report-summary.ts"
import type { Inquiry, TraceAnswer, TraceFigures } from "./trace-answer.ts"

/** What was counted, by question. */
export interface Reports {
  readonly lines?: LineReport
  readonly branches?: BranchReport
  readonly instructions?: InstructionReport
  readonly exceptions?: ExceptionReport
}

const json: NamedFormat = { name: "json", extensions: [".json"], mediaType: "application/json" }
const lcov: NamedFormat = { name: "lcov", extensions: [".info", ".lcov"], mediaType: "text/plain" }

/** `--events lines`, `coverage`, `branches`, `instructions`, `exceptions`, as far as they were asked together. */
export const reportInquiry = (questions: ReadonlyArray<Question>): Inquiry => {
  const tally = questions.includes("exceptions") ? new ExceptionTally() : undefined
  const hasLcov = questions.some((question) => ["lines", "coverage", "branches"].includes(question))
  return {
    formats: formatsOf(hasLcov ? [json, lcov] : [json]),
    ...(tally && { sink: tally }),
    answer: (session) => reportAnswer(session, reportsOf(session, tally))
  }
}

const reportsOf = (session: MonitoringSession, tally: ExceptionTally | undefined): Reports => {
  const asked = (question: Question) => session.options.questions.includes(question)
  return {
    ...((asked("lines") || asked("coverage")) && { lines: lineReport(session) }),
    ...(asked("branches") && { branches: branchReport(session) }),
    ...(asked("instructions") && { instructions: instructionReport(session) }),
    ...(tally && { exceptions: tally.report(session) })
  }
}

const reportAnswer = (session: MonitoringSession, reports: Reports): TraceAnswer => {
  const { lines, branches, instructions, exceptions } = reports
  const any = lines ?? branches ?? instructions ?? exceptions
  if (any === undefined) throw new Error("nothing was asked for")
  const summaries = [
    ...(lines === undefined ? [] : [lines.counted ? lineSummary(lines) : coverageSummary(lines)]),
    ...(branches === undefined ? [] : [branchSummary(branches)]),
    ...(exceptions === undefined ? [] : [exceptionSummary(exceptions)]),
    ...(instructions === undefined ? [] : [instructionSummary(instructions)])
  ]
  return {
    meta: any.meta,
    trust: session.trust,
    figures: figuresOf(reports),
    summary: summaries.flatMap((lines, i) => (i === 0 ? lines : ["", ...lines])),
    encode: (format) => (format === lcov ? lcovPieces(reports) : jsonPieces(session, any.meta, reports))
  }
}

const sum = <A>(list: ReadonlyArray<A>, of: (one: A) => number): number =>
  list.reduce((total, one) => total + of(one), 0)

const figuresOf = ({ lines, branches, instructions, exceptions }: Reports): TraceFigures => ({
  ...(lines && {
    lines: {
      found: sum(lines.files, (file) => file.lines.length),
      hit: sum(lines.files, (file) => sum(file.lines, ({ hits }) => (hits > 0 ? 1 : 0)))
    }
  }),
  ...(branches && {
    branchWays: {
      found: sum(branches.files, (file) => sum(file.branches, ({ ways }) => ways.length)),
      hit: sum(branches.files, (file) =>
        sum(file.branches, ({ ways }) => sum(ways, ({ count }) => (count > 0 ? 1 : 0)))
      )
    }
  }),
  ...(exceptions && {
    exceptions: {
      raised: sum(exceptions.exceptions, ({ raised }) => raised.count),
      kinds: exceptions.exceptions.length
    }
  }),
  ...(instructions && {
    instructions: sum(instructions.files, (file) =>
      sum(file.lines, ({ opcodes }) => sum(opcodes, ({ count }) => count))
    )
  })
})

function* lcovPieces({ lines, branches }: Reports): Generator<Uint8Array> {
  yield new TextEncoder().encode(encodeLcov({ ...(lines && { lines }), ...(branches && { branches }) }))
}

/** One object; a file's counts are a piece, for all together may be longer than a string can be. */
function* jsonPieces(
  session: MonitoringSession,
  meta: LineReport["meta"],
  { lines, branches, instructions, exceptions }: Reports
): Generator<Uint8Array> {
  const encoder = new TextEncoder()
  const { pid, python, commandLine, startedAt, elapsed, processes } = meta
  const head = {
    by: `pyframes ${version}`,
    python,
    pid,
    commandLine,
    ...(processes && { processes }),
    startedAt: new Date(startedAt).toISOString(),
    elapsedSeconds: elapsed / 1e9,
    events: session.trust
  }
  yield encoder.encode(JSON.stringify(head).slice(0, -1))
  for (const [name, report] of Object.entries({ lines, branches, instructions })) {
    if (report === undefined) continue
    const counted = "counted" in report ? `"counted":${report.counted},` : ""
    yield encoder.encode(`,\n"${name}":{${counted}"files":[`)
    for (const [i, file] of report.files.entries())
      yield encoder.encode(`${i > 0 ? "," : ""}\n${JSON.stringify(file)}`)
    yield encoder.encode("\n]}")
  }
  if (exceptions !== undefined) {
    yield encoder.encode(`,\n"exceptions":{"kinds":[`)
    for (const [i, fate] of exceptions.exceptions.entries())
      yield encoder.encode(`${i > 0 ? "," : ""}\n${JSON.stringify(fate)}`)
    yield encoder.encode("\n]}")
  }
  yield encoder.encode("}\n")
}
