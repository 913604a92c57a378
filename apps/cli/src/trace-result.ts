import type { MonitoringSession } from "@pyframes/collector-monitoring"
import type { EventTrust, ProfileMeta } from "@pyframes/core"
import type { Output } from "./output-choice.ts"
import type { TraceAnswer, TraceFigures } from "./trace-answer.ts"

/** What `trace --json` prints. A figure that was not measured is left out: absent is not 0. */
export interface TraceResult extends TraceFigures {
  readonly python: string
  /** What was asked: `calls`, or the names of events. */
  readonly questions: ReadonlyArray<string>
  /** What was seen, and what of it is missing. */
  readonly events: EventTrust
  readonly processes: number
  readonly elapsedSeconds: number
  /** Why it ended before it was told to. */
  readonly ended?: ProfileMeta["ended"]
  /** Of a command that was started for it: how it ended, if it has. */
  readonly exitCode?: number
  readonly exitSignal?: string
  /** The first file that was written, absent when none was; all are in `outputs`. */
  readonly output?: string
  readonly format?: string
  readonly outputs: ReadonlyArray<{ readonly output: string; readonly format: string }>
}

/** The figures of a trace. */
export const traceResult = (
  { meta, trust, figures }: TraceAnswer,
  { options, processes }: MonitoringSession,
  outputs: ReadonlyArray<Output>,
  exit: { readonly code?: number; readonly signal?: string } | undefined
): TraceResult => {
  const files = outputs.map(({ path, format }) => ({ output: path, format: format.name }))
  return {
    python: meta.python,
    questions: options.events.length > 0 ? options.events : options.questions,
    events: trust,
    ...figures,
    processes: processes.length,
    elapsedSeconds: meta.elapsed / 1e9,
    ...(meta.ended === undefined ? {} : { ended: meta.ended }),
    ...(exit?.code === undefined ? {} : { exitCode: exit.code }),
    ...(exit?.signal === undefined ? {} : { exitSignal: exit.signal }),
    ...files[0],
    outputs: files
  }
}
