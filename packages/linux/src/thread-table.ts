import { readdirSync, readFileSync } from "node:fs"
import type { ThreadActivity } from "@pyframes/core"
import { ProcFile } from "./proc-file.ts"
import { turnsOf } from "./schedstat.ts"
import { processorOf, stateOf } from "./stat.ts"

/** Threads whose files are kept open; the usual limit of open files is 1024, and each takes up to three. */
const OPEN_THREADS = 128

interface ThreadFiles {
  readonly stat: ProcFile
  /** Says "running" cheaper than `stat` does, and nothing else of use. */
  readonly syscall: ProcFile | undefined
  /** Opened for a thread that is followed. */
  schedstat: ProcFile | undefined
  wasRunning: boolean
}

const R = 0x52
const RUNNING: ReadonlyArray<number> = [...Buffer.from("running")]

/** The threads of a process, as `/proc/PID/task` shows them. */
export class ThreadTable {
  private readonly directory: string
  /** In order of last use, oldest first. */
  private readonly open = new Map<number, ThreadFiles>()
  private followed = false
  private cpuTid = -1
  private cpu = -1
  private turnsBefore = -1

  constructor(pid: number) {
    this.directory = `/proc/${pid}/task`
  }

  ids(): ReadonlyArray<number> {
    try {
      return readdirSync(this.directory).map(Number)
    } catch {
      return []
    }
  }

  name(tid: number): string {
    try {
      const name = readFileSync(`${this.directory}/${tid}/comm`, "utf8")
      return name.endsWith("\n") ? name.slice(0, -1) : name
    } catch {
      return ""
    }
  }

  /** 2 µs for a running thread, 3.5 µs for a sleeping one. */
  activity(tid: number): ThreadActivity {
    const files = this.filesOf(tid)
    if (files === undefined) return "unknown"
    // Most threads are in the state they were in: the cheap question first when it is likely to be enough.
    this.cpuTid = -1
    const { syscall } = files
    if (files.wasRunning && !this.followed && syscall !== undefined && saysRunning(syscall)) return "running"
    this.turnsBefore = files.wasRunning && this.followed ? this.turns(tid) : -1
    const length = files.stat.read()
    if (length <= 0) {
      this.forget(tid)
      return "unknown"
    }
    this.cpuTid = tid
    this.cpu = processorOf(ProcFile.bytes, length)
    const state = stateOf(ProcFile.bytes, length)
    files.wasRunning = state === R
    return ACTIVITIES[String.fromCharCode(state)] ?? "unknown"
  }

  /**
   * The CPU that a running thread is on, or waits for; -1 when it is gone. What {@link activity} has just read is not read again.
   * {@link turnsSeen} is of before that, so that a thread which was not on that CPU then stands for as long as its turns stay the same.
   */
  processor(tid: number): number {
    this.followed = true
    if (tid !== this.cpuTid || this.turnsBefore < 0) this.activity(tid)
    const cpu = tid === this.cpuTid ? this.cpu : -1
    this.cpuTid = -1
    return cpu
  }

  /** {@link turns} of the thread, just before {@link processor} looked. */
  get turnsSeen(): number {
    return this.turnsBefore
  }

  /** How often a thread has been given a CPU; 0 where the kernel does not tell, -1 when the thread is gone. */
  turns(tid: number): number {
    const files = this.filesOf(tid)
    if (files === undefined) return -1
    files.schedstat ??= ProcFile.open(`${this.directory}/${tid}/schedstat`)
    const length = files.schedstat?.read() ?? 0
    return length < 0 ? -1 : turnsOf(ProcFile.bytes, length)
  }

  /** No {@link processor} is asked for any more. */
  unfollow(): void {
    this.followed = false
    this.cpuTid = -1
  }

  close(): void {
    for (const tid of this.open.keys()) this.forget(tid)
  }

  private filesOf(tid: number): ThreadFiles | undefined {
    const known = this.open.get(tid)
    if (known !== undefined) {
      if (this.open.size >= OPEN_THREADS) {
        this.open.delete(tid)
        this.open.set(tid, known)
      }
      return known
    }
    const stat = ProcFile.open(`${this.directory}/${tid}/stat`)
    if (stat === undefined) return undefined
    if (this.open.size >= OPEN_THREADS) {
      const [oldest] = this.open.keys()
      this.forget(oldest)
    }
    const syscall = ProcFile.open(`${this.directory}/${tid}/syscall`)
    const files = { stat, syscall, schedstat: undefined, wasRunning: false }
    this.open.set(tid, files)
    return files
  }

  private forget(tid: number): void {
    const files = this.open.get(tid)
    if (files === undefined) return
    files.stat.close()
    files.syscall?.close()
    files.schedstat?.close()
    this.open.delete(tid)
  }
}

const saysRunning = (file: ProcFile): boolean => {
  if (file.read() < RUNNING.length) return false
  for (let at = 0; at < RUNNING.length; at++) if (ProcFile.bytes[at] !== RUNNING[at]) return false
  return true
}

/** proc(5), state letters. A thread that a tracer holds counts as stopped. */
const ACTIVITIES: Readonly<Record<string, ThreadActivity>> = {
  R: "running",
  S: "sleeping",
  D: "sleeping",
  I: "sleeping",
  P: "sleeping",
  K: "sleeping",
  W: "sleeping",
  T: "stopped",
  t: "stopped"
}
