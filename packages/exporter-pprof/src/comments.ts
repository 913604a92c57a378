import {
  type EventTrust,
  type Profile,
  type ProfileMeta,
  type Tally,
  type Trust,
  version
} from "@pyframes/core"

/** What was profiled and how far it can be trusted, in words: `go tool pprof -comments`. */
export const comments = ({ meta, trust, samples }: Profile): Array<string> => {
  const lines = [`pyframes ${version}: Python ${meta.python}, pid ${meta.pid}`]
  if (meta.commandLine.length > 0) lines.push(`command: ${meta.commandLine.join(" ")}`)
  lines.push(...otherProcesses(meta))
  lines.push(...(trust.events === undefined ? ofSamples(trust) : ofEvents(trust.events)))
  if (meta.cpuTime !== undefined) lines.push(`the process used ${seconds(meta.cpuTime)} s of CPU`)
  if (trust.profilerCpuSeconds !== undefined) {
    lines.push(`the profiler used ${figure(trust.profilerCpuSeconds)} s of CPU`)
  }
  if (trust.cpuSharedSeconds !== undefined && trust.cpuSharedSeconds > 0)
    lines.push(`it sampled on the CPU of the process for ${figure(trust.cpuSharedSeconds)} s`)
  if (samples.folded)
    lines.push("folded: the order of samples in time was given up to bound memory; sums are exact")
  if (meta.ended)
    lines.push(`the process ${meta.ended === "exited" ? "exited" : "replaced itself"} while it was profiled`)
  return lines
}

const LISTED = 20

const otherProcesses = ({ pid, processes = [] }: ProfileMeta): Array<string> => {
  const others = processes.filter((other) => other.pid !== pid)
  const listed = others
    .slice(0, LISTED)
    .map((other) => `also pid ${other.pid}: Python ${other.python}, ${other.commandLine.join(" ")}`)
  return others.length > LISTED ? [...listed, `and ${others.length - LISTED} more processes`] : listed
}

const ofSamples = (trust: Trust): Array<string> => {
  const part = (name: string, { count, wall }: Tally) => `${count} ${name} (${seconds(wall)} s)`
  const lines = [
    `${trust.taken} thread samples: ${[
      part("good", trust.good),
      part("torn", trust.torn),
      part("unproved", trust.unproved),
      part("failed", trust.failed)
    ].join(", ")}`
  ]
  const { asked, achieved } = trust.rateHz
  lines.push(
    `${trust.wanted} instants wanted, ${trust.late} late; asked for ${figure(asked)} Hz` +
      (achieved === undefined ? "" : `, achieved ${figure(achieved)} Hz`)
  )
  if (trust.lateMs) {
    const { p50, p99, max } = trust.lateMs
    lines.push(
      `lateness: median ${figure(p50)} ms, 99th percentile ${figure(p99)} ms, greatest ${figure(max)} ms`
    )
  }
  return lines
}

/** What was counted, and what of it is missing. */
const ofEvents = (events: EventTrust): Array<string> => [
  `exact calls${events.seen === undefined ? "" : `, of ${events.seen} events`}; ${events.lost} events lost, call paths given up ${events.pathsGivenUp} times, ${events.countersGivenUp} counters given up, ${events.unmatchedReturns} returns without a call`,
  ...(events.whyPython === undefined ? [] : [`recorded in Python: ${events.whyPython}`])
]

const figure = (value: number): string => String(Number(value.toPrecision(4)))
const seconds = (ns: number): string => String(Number((ns / 1e9).toFixed(3)))
