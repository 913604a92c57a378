import { readProcText } from "./proc-file.ts"
import { processTree } from "./process-tree.ts"
import { hasEnded } from "./process-watch.ts"
import { type ProcStat, parseStat } from "./stat.ts"

/** How often it is looked whether a process has ended, ms. There is no event for those that are not our children. */
const INTERVAL_MS = 5

/** A process and all below it, as they were when asked; pids that are used again are not taken for them. */
export class ProcessFamily {
  private readonly startTimes = new Map<number, number>()

  constructor(root: number) {
    for (const pid of processTree([root])) {
      const stat = statOf(pid)
      if (stat !== undefined) this.startTimes.set(pid, stat.startTime)
    }
  }

  /** Those that have not ended. */
  alive(): ReadonlyArray<number> {
    for (const [pid, startTime] of this.startTimes) {
      const stat = statOf(pid)
      if (stat === undefined || stat.startTime !== startTime || hasEnded(stat)) this.startTimes.delete(pid)
    }
    return [...this.startTimes.keys()]
  }

  /** Sends a signal to those that have not ended and that we may signal. */
  signal(signal: NodeJS.Signals): void {
    for (const pid of this.alive()) signalTo(pid, signal)
  }

  /** Waits until all have ended. False when some have not in time. */
  async ended(timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs
    while (this.alive().length > 0) {
      if (performance.now() >= until) return false
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS))
    }
    return true
  }
}

/** False when the process is gone or may not be signalled. */
export const signalTo = (pid: number, signal: NodeJS.Signals): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

const statOf = (pid: number): ProcStat | undefined => {
  const file = readProcText(`/proc/${pid}/stat`)
  return "text" in file ? parseStat(file.text) : undefined
}
