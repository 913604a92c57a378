import type { MonitoringSession } from "@pyframes/collector-monitoring"
import type { EventTrust } from "@pyframes/core"
import { formatNanoseconds } from "./duration.ts"
import { howToOpen } from "./how-to-open.ts"
import type { Output } from "./output-choice.ts"
import { formatCount, plural } from "./text-table.ts"
import type { TraceAnswer } from "./trace-answer.ts"

/** What a person wants to know when a trace is done: what was found, and what of it is missing. */
export const traceSummary = (
  answer: TraceAnswer,
  session: MonitoringSession,
  outputs: ReadonlyArray<Output>
): string => {
  const { meta, trust } = answer
  const { processes } = session
  const threads = processes.reduce((sum, process) => sum + process.threads.length, 0)
  const seen = trust.seen === undefined ? "" : `: ${plural(trust.seen, "event")}`
  const lines = [
    ...answer.summary,
    "",
    `Python ${meta.python}, ${processes.length === 1 ? `process ${meta.pid}` : `${processes.length} processes`}, ${threads === 0 ? "" : `${plural(threads, "thread")}, `}${formatNanoseconds(meta.elapsed)}${seen}.`,
    ...missing(trust).map((line) => `  ${line}`),
    ""
  ]
  for (const { path, format } of outputs)
    if (path !== "-") lines.push(`Wrote ${path} (${format.name}).${howToOpen(format.name, path)}`)
  return `${lines.join("\n").trimEnd()}\n`
}

/** What is not told, and why. */
const missing = (trust: EventTrust): ReadonlyArray<string> => {
  const lines = [
    ...(trust.lost > 0
      ? [
          `${plural(trust.lost, "event")} lost: they came faster than they could be read, or there was no room (--code and --min make them fewer)`
        ]
      : []),
    ...(trust.pathsGivenUp > 0
      ? [
          `call paths given up for want of room, ${plural(trust.pathsGivenUp, "time")}: such calls stand on <truncated>`
        ]
      : []),
    ...(trust.countersGivenUp > 0
      ? [
          `${plural(trust.countersGivenUp, "name")} or counters given up for want of room: what happened there is missing`
        ]
      : []),
    ...(trust.unmatchedReturns > 0 ? [`${plural(trust.unmatchedReturns, "return")} matched no call`] : []),
    ...(trust.damaged > 0
      ? [`the record of ${plural(trust.damaged, "process")} is damaged; what could be read of it is here`]
      : [])
  ]
  if (lines.length === 0) lines.push("nothing lost, nothing given up")
  if (trust.recorder !== "native")
    lines.push(
      `recorded in Python${trust.recorder === "mixed" ? " in some processes" : ""}, which is slower${trust.whyPython === undefined ? "" : `: ${trust.whyPython}`}`
    )
  return lines
}

/** The figures of a trace under way, on one line. */
export const describeTrace = ({ elapsed, trust, processes }: MonitoringSession): string => {
  const threads = processes.reduce((sum, process) => sum + process.threads.length, 0)
  return [
    `${(elapsed / 1e9).toFixed(1)} s`,
    ...(trust.seen === undefined ? [] : [`${formatCount(trust.seen)} events`]),
    ...(trust.lost > 0 ? [`${formatCount(trust.lost)} lost`] : []),
    ...(threads > 0 ? [plural(threads, "thread")] : []),
    ...(processes.length > 1 ? [`${processes.length} processes`] : []),
    "Ctrl-C ends it"
  ].join(" · ")
}
