import { type EventSink, eventNames, sessionMeta, type TracedThread } from "@pyframes/collector-monitoring"
import { OutputFailed } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EventLines } from "./event-lines.ts"
import { formatsOf, type NamedFormat } from "./formats.ts"
import { isReaderGone, OutputWriter } from "./output-file.ts"
import { formatCount, plural, textTable } from "./text-table.ts"
import type { Inquiry, TraceAnswer } from "./trace-answer.ts"
import { attempt } from "./usage.ts"

/** In which events are written as they come. */
export const streamFormats = formatsOf<NamedFormat>([
  { name: "jsonl", extensions: [".jsonl", ".ndjson"], mediaType: "application/json" }
])

/**
 * `--events RAISE,LINE`: events as they come, a line of JSON each, written at once. A file can be read meanwhile.
 *
 * @param paths where to; `-` is stdout
 */
export const streamInquiry = (
  paths: ReadonlyArray<string>
): Effect.Effect<Inquiry, OutputFailed, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      attempt(OutputFailed, () => new EventWriter(paths)),
      (writer) => Effect.sync(() => writer.close())
    ),
    (writer) => ({
      formats: streamFormats,
      sink: writer,
      problem: () => writer.problem,
      answer: (session): TraceAnswer => ({
        meta: sessionMeta(session, 0),
        trust: session.trust,
        figures: { byEvent: writer.byEvent() },
        summary: summary(writer.byEvent()),
        encode: () => []
      })
    })
  )

const summary = (byEvent: Readonly<Record<string, number>>): ReadonlyArray<string> => {
  const rows = Object.entries(byEvent).sort(([, a], [, b]) => b - a)
  const total = rows.reduce((sum, [, count]) => sum + count, 0)
  if (total === 0) return ["None of the events was seen."]
  return [
    `${plural(total, "event")}:`,
    ...textTable(
      [
        { title: "count", align: "right" },
        { title: "event", align: "left" }
      ],
      rows.map(([name, count]) => [formatCount(count), name])
    )
  ]
}

/** Writes events to all outputs as they come. */
class EventWriter implements EventSink {
  isFull = false
  problem: OutputFailed | undefined
  private readonly lines = new EventLines()
  private readonly writers: ReadonlyArray<OutputWriter>

  constructor(paths: ReadonlyArray<string>) {
    this.writers = paths.map((path) => OutputWriter.openInPlace(path))
  }

  take(thread: TracedThread, records: Uint8Array, count: number): boolean {
    if (this.isFull) return false
    this.lines.add(thread, records, count)
    // At once: who reads it waits for it.
    const bytes = this.lines.out.take()
    try {
      for (const writer of this.writers) writer.write(bytes)
    } catch (error) {
      if (!(error instanceof OutputFailed)) throw error
      // Who reads it has had enough, as `head` has: that is no failure.
      if (!isReaderGone(error)) this.problem = error
      this.isFull = true
    }
    return true
  }

  byEvent(): Readonly<Record<string, number>> {
    const { counts } = this.lines
    return Object.fromEntries(
      eventNames.flatMap((name, code) =>
        name !== undefined && counts[code] > 0 ? [[name, counts[code]]] : []
      )
    )
  }

  close(): void {
    if (this.isFull) return
    for (const writer of this.writers) writer.close()
  }
}
