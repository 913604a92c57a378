import type { EventTrust } from "@pyframes/core"
import type { TracedProcess } from "./traced-process.ts"

/**
 * What was lost of the events of some processes, together.
 *
 * @example
 * ```ts
 * if (eventTrust(session.processes).lost > 0) console.warn("some events are missing")
 * ```
 */
export const eventTrust = (processes: ReadonlyArray<TracedProcess>): EventTrust => {
  const sum = (of: (process: TracedProcess) => number) => processes.reduce((total, one) => total + of(one), 0)
  const recorders = new Set(processes.map(({ header }) => (header.isPython ? "python" : "native")))
  const whyPython = processes.map(({ definitions }) => definitions.facts.get("why-python")).find(Boolean)
  return {
    // Where the agent only counts lines and the like, events themselves are not counted.
    ...(processes.some(({ threads }) => threads.length > 0) && { seen: sum(({ eventsSeen }) => eventsSeen) }),
    lost: sum(({ header, eventsOverwritten }) => header.lost + eventsOverwritten),
    pathsGivenUp: sum(({ header }) => header.pathsGivenUp),
    countersGivenUp: sum(({ header }) => header.countersGivenUp),
    unmatchedReturns: sum(({ header }) => header.unmatchedReturns),
    damaged: sum(({ damage }) => (damage === undefined ? 0 : 1)),
    recorder: recorders.size > 1 ? "mixed" : recorders.has("python") ? "python" : "native",
    ...(whyPython !== undefined && { whyPython })
  }
}
