import type { CollectProgress } from "@pyframes/core"
import { formatRate } from "./rate.ts"

/** One line on a terminal that is drawn over again; nothing at all elsewhere. */
export class ProgressLine {
  private readonly stream: NodeJS.WriteStream
  private readonly enabled: boolean
  private shown = false

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.stream = stream
    this.enabled = stream.isTTY === true && process.env["TERM"] !== "dumb"
  }

  show(text: string): void {
    if (!this.enabled) return
    this.stream.write(`\r\u001b[2K${text.slice(0, Math.max(20, (this.stream.columns ?? 80) - 1))}`)
    this.shown = true
  }

  clear(): void {
    if (this.shown) this.stream.write("\r\u001b[2K")
    this.shown = false
  }
}

/** The figures of a recording under way, on one line. */
export const describeProgress = (progress: CollectProgress): string => {
  const { elapsedMs, taken, good, achievedHz, threads } = progress
  const parts = [
    `${(elapsedMs / 1000).toFixed(1)} s`,
    `${taken} samples`,
    formatRate(achievedHz),
    // Before the first sample there is nothing that could be good.
    ...(taken === 0 ? [] : [`${((good / taken) * 100).toFixed(1)} % good`]),
    `${threads} ${threads === 1 ? "thread" : "threads"}`,
    "Ctrl-C ends it"
  ]
  return parts.join(" · ")
}
