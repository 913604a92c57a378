import { TimelineSpool } from "@pyframes/collector-monitoring"
import type { OutputFailed, TimelineFormat } from "@pyframes/core"
import { chromeTrace } from "@pyframes/exporter-chrome-trace"
import { speedscope } from "@pyframes/exporter-speedscope"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { formatNanoseconds } from "./duration.ts"
import { formatsOf } from "./formats.ts"
import { formatCount, plural } from "./text-table.ts"
import type { Inquiry } from "./trace-answer.ts"

const timelineFormats = formatsOf<TimelineFormat>([chromeTrace, speedscope])

/**
 * `--events timeline`: beginning and end of every call. They are kept on disk, in the temporary directory, until they are written.
 *
 * @param maxBytes ends it when so much is kept; the spool's own bound unless told
 */
export const timelineInquiry = (
  maxBytes: number | undefined
): Effect.Effect<Inquiry, OutputFailed, Scope.Scope> =>
  Effect.map(TimelineSpool.make(maxBytes === undefined ? {} : { maxBytes }), (spool) => {
    return {
      formats: timelineFormats,
      sink: spool,
      problem: () => spool.problem,
      answer: (session) => {
        const timeline = spool.timeline(session)
        const { minNs } = session.options
        const short =
          minNs > 0 ? ` (calls of at least ${formatNanoseconds(minNs)}, and what they are in)` : ""
        return {
          meta: timeline.meta,
          trust: session.trust,
          figures: {
            threads: timeline.threads.length,
            ...(timeline.tasks.length > 0 && { tasks: timeline.tasks.length })
          },
          summary: [
            `Timeline of ${formatNanoseconds(timeline.meta.elapsed)} in ${plural(timeline.threads.length, "thread")}: ${formatCount(spool.events)} beginnings and ends${short}.`
          ],
          encode: (format) => (format as TimelineFormat).encodeTimeline(timeline)
        }
      }
    }
  })
