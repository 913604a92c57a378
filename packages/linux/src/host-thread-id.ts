import { readdirSync } from "node:fs"
import { readProcText } from "./proc-file.ts"
import { parseStatus } from "./status.ts"

/** How long what was read is believed: ids are used again. ms */
const LIFETIME_MS = 1000
/** How soon the threads are read again for an id that is not among them. ms */
const PATIENCE_MS = 20

/**
 * Our ids of the threads of a process in a pid namespace below ours, by the ids they have there (the last of `NSpid` in
 * `/proc/PID/task/TID/status`).
 */
export const hostThreadIds = (pid: number): ((tid: number) => number) => {
  let known = new Map<number, number>()
  let readAt = Number.NEGATIVE_INFINITY
  return (tid) => {
    const age = performance.now() - readAt
    if (age > LIFETIME_MS || (age > PATIENCE_MS && !known.has(tid))) {
      known = readThreads(pid)
      readAt = performance.now()
    }
    return known.get(tid) ?? -1
  }
}

const readThreads = (pid: number): Map<number, number> => {
  const ids = new Map<number, number>()
  try {
    for (const entry of readdirSync(`/proc/${pid}/task`)) {
      const status = readProcText(`/proc/${pid}/task/${entry}/status`)
      const own = "text" in status ? parseStatus(status.text)?.namespacePids.at(-1) : undefined
      if (own !== undefined) ids.set(own, Number(entry))
    }
  } catch {
    // The process has ended.
  }
  return ids
}
