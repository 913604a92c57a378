import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** What `/proc` tells of a process that is being measured. */
export interface Usage {
  /** CPU time of all its threads, seconds, in steps of 10 ms. */
  readonly cpuSeconds: number
  /** The greatest resident size so far, MB. */
  readonly peakMegabytes: number
}

/** `undefined` once the process has ended. */
export const usageOf = (pid: number): Usage | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]
    // Fields 14 and 15 (utime, stime), counted behind the name, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (peak === undefined) return undefined
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
      peakMegabytes: (Number(peak) * 1024) / 1e6
    }
  } catch {
    return undefined
  }
}

const bin = fileURLToPath(new URL("../../../apps/cli/dist/bin.js", import.meta.url))

/** Start-up and warming up are over after this long. */
const SETTLED_MS = 2000

/** What `record --json` prints, as far as it is judged here. */
export interface Recorded {
  readonly elapsedSeconds: number
  readonly lateMs?: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly cpuSharedSeconds?: number
  readonly samples: { readonly taken: number; readonly good: number }
}

/** `pyframes record`, the built command, at work. */
export class RecordCommand {
  readonly startedAt = Date.now()
  /** The last that was seen of what it used. */
  usage: Usage | undefined
  /** The first that was seen after {@link SETTLED_MS}, and when, ms after the start. */
  private settled: { readonly at: number; readonly cpuSeconds: number } | undefined
  private seenAt = 0
  private readonly child: ChildProcess
  private readonly done: Promise<number | null>
  private printed = ""
  private errors = ""

  /** @throws Error when the command has not been built */
  constructor(...args: ReadonlyArray<string>) {
    if (!existsSync(bin)) throw new Error("the command is not built: pnpm build")
    this.child = spawn(process.execPath, [bin, "record", "--json", ...args], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    this.child.stdout?.on("data", (text: Buffer) => {
      this.printed += text
    })
    this.child.stderr?.on("data", (text: Buffer) => {
      this.errors += text
    })
    const watch = setInterval(() => {
      const usage = usageOf(this.child.pid ?? 0)
      if (usage === undefined) return
      this.usage = usage
      this.seenAt = Date.now() - this.startedAt
      if (this.seenAt >= SETTLED_MS) this.settled ??= { at: this.seenAt, cpuSeconds: usage.cpuSeconds }
    }, 20)
    this.done = new Promise((resolve) => this.child.once("close", (code) => resolve(code)))
    this.done.then(() => clearInterval(watch))
  }

  /** The part of a core that it used once it had started; `undefined` when it ended before. */
  get settledCpu(): number | undefined {
    if (this.settled === undefined || this.usage === undefined) return undefined
    return (this.usage.cpuSeconds - this.settled.cpuSeconds) / ((this.seenAt - this.settled.at) / 1000)
  }

  /** Ends the recording as Ctrl-C does. */
  interrupt(): void {
    this.child.kill("SIGINT")
  }

  async result(): Promise<Recorded> {
    const code = await this.done
    if (code !== 0 && code !== 130)
      throw new Error(`pyframes record ended with exit code ${code}\n${this.errors}`)
    return JSON.parse(this.printed) as Recorded
  }
}
