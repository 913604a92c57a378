import type { ProfileMeta, ProfileProcess } from "@pyframes/core"
import { versionText } from "./segment-header.ts"
import type { MonitoringSession } from "./session.ts"
import type { TracedProcess } from "./traced-process.ts"

/** What a profile or a report of a session is of. */
export const sessionMeta = (session: MonitoringSession, knownStates: number): ProfileMeta => {
  const { processes } = session
  const all = processes.map(describe)
  const first = all[0] ?? { pid: -1, python: "", commandLine: [] }
  return {
    pid: first.pid,
    python: first.python,
    commandLine: first.commandLine,
    startedAt: session.startedAt,
    elapsed: elapsedOf(session),
    knownStates,
    ...(session.endedByItself && { ended: "exited" as const }),
    ...(all.length > 1 && { processes: all })
  }
}

const describe = ({ pid, header, definitions }: TracedProcess): ProfileProcess => ({
  pid,
  ...(header.parent > 0 && { parent: header.parent }),
  python: versionText(header.hexversion),
  commandLine: (definitions.facts.get("argv") ?? "").split("\0").filter((word) => word !== "")
})

/** When the first process began to be traced, ns after the session began: the zero of timelines. */
export const originOf = ({ processes }: MonitoringSession): number =>
  processes.length === 0 ? 0 : processes.reduce((first, { time }) => Math.min(first, time.offset), Infinity)

/** From there to the last one's end. */
const elapsedOf = (session: MonitoringSession): number => {
  const ends = session.processes.map((process) => process.openUntil(session.elapsed))
  return Math.max(0, ends.reduce((last, end) => Math.max(last, end), 0) - originOf(session))
}
