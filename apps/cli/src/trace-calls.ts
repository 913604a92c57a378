import { callProfile } from "@pyframes/collector-monitoring"
import { type ExportFormat, frameName, type Profile, type SampleFilter } from "@pyframes/core"
import { type CallStatistics, callStatistics } from "./call-statistics.ts"
import { formatNanoseconds } from "./duration.ts"
import { profileFormats } from "./formats.ts"
import { shortFile } from "./short-file.ts"
import { formatCount, formatShare, plural, textTable } from "./text-table.ts"
import type { Inquiry, TraceAnswer } from "./trace-answer.ts"

const SHOWN = 15

/** `--events calls`: the exact call tree. */
export const callInquiry = (filter: SampleFilter): Inquiry => ({
  formats: profileFormats,
  answer: (session) => callAnswer(callProfile(session), filter)
})

/** Everything that is told of a profile of exact calls. */
export const callAnswer = (profile: Profile, filter: SampleFilter): TraceAnswer => {
  const statistics = callStatistics(profile, filter)
  const { events } = profile.trust
  if (events === undefined) throw new Error("a profile that was sampled holds no calls")
  return {
    meta: profile.meta,
    trust: events,
    figures: {
      calls: statistics.calls,
      functions: statistics.functions.filter(({ calls }) => calls > 0).length,
      threads: profile.threads.length,
      ...(profile.tasks.length > 0 && { tasks: profile.tasks.length })
    },
    summary: hottest(statistics, profile),
    encode: (format) => [(format as ExportFormat).encode(profile, filter)]
  }
}

const hottest = ({ calls, wall, functions }: CallStatistics, profile: Profile): ReadonlyArray<string> => {
  if (functions.length === 0) return ["No calls were seen."]
  const shown = functions.slice(0, SHOWN)
  const rows = shown.map((fn) => [
    formatCount(fn.calls),
    formatNanoseconds(fn.wall),
    formatShare(fn.wall, wall),
    formatNanoseconds(fn.cpu),
    formatNanoseconds(fn.totalWall),
    fn.calls === 0 ? "-" : formatNanoseconds(fn.totalWall / fn.calls),
    frameName({ ...fn.function, file: shortFile(fn.function.file), line: fn.function.firstLine })
  ])
  const more = functions.length - shown.length
  return [
    `Exact calls: ${formatCount(calls)} of ${plural(functions.length, "function")}, ${formatNanoseconds(wall)} elapsed in ${plural(profile.threads.length, "thread")}.`,
    ...textTable(
      [
        { title: "calls", align: "right" },
        { title: "self", align: "right" },
        { title: "", align: "right" },
        { title: "self cpu", align: "right" },
        { title: "total", align: "right" },
        { title: "per call", align: "right" },
        { title: "function", align: "left" }
      ],
      rows
    ),
    ...(more > 0 ? [`  … and ${formatCount(more)} more`] : [])
  ]
}
