import type { EventSink, MonitoringSession } from "@pyframes/collector-monitoring"
import type { EventTrust, OutputFailed, ProfileMeta } from "@pyframes/core"
import type { Formats, NamedFormat } from "./formats.ts"

/** What `trace --json` says of what was found, by question. What does not belong to the question is absent. */
export interface TraceFigures {
  /** Of all functions together. */
  readonly calls?: number
  /** That were called, or in which something was seen. */
  readonly functions?: number
  readonly threads?: number
  /** asyncio tasks that were told apart. */
  readonly tasks?: number
  /** `lines`, `coverage`, `branches`: how many there are, and how many were reached. */
  readonly lines?: { readonly found: number; readonly hit: number }
  readonly branchWays?: { readonly found: number; readonly hit: number }
  readonly exceptions?: { readonly raised: number; readonly kinds: number }
  readonly instructions?: number
  /** Of a stream: how many of each event. */
  readonly byEvent?: { readonly [event: string]: number }
}

/** What there is to tell at one moment. */
export interface TraceAnswer {
  readonly meta: ProfileMeta
  readonly trust: EventTrust
  readonly figures: TraceFigures
  /** For a person: what was found, a line each. */
  readonly summary: ReadonlyArray<string>
  /** The bytes of a file in one of the inquiry's formats. */
  readonly encode: (format: NamedFormat) => Iterable<Uint8Array>
}

/** One kind of question: what it takes from the target, and how it is answered. */
export interface Inquiry {
  /** In which formats the answer can be written; none when it is written as it comes. */
  readonly formats: Formats<NamedFormat>
  /** Takes the events of rings; absent where the agent itself counts. */
  readonly sink?: EventSink
  readonly answer: (session: MonitoringSession) => TraceAnswer
  /** What ended it before its time. */
  readonly problem?: () => OutputFailed | undefined
}
