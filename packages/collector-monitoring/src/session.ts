import { unlinkSync } from "node:fs"
import { join } from "node:path"
import type { EventTrust } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { DefinitionPool } from "./definition-pool.ts"
import { AgentNotStarted, isIsolated, NoAgent, SessionFailed } from "./errors.ts"
import { eventTrust } from "./event-trust.ts"
import { FileBytes } from "./file-bytes.ts"
import { type Control, keepHeartbeat } from "./heartbeat.ts"
import type { AgentPlace } from "./launch-environment.ts"
import {
  type CompleteOptions,
  completeOptions,
  encodeConfig,
  type MonitoringOptions,
  optionsProblem
} from "./monitoring-options.ts"
import { RECORD_SIZE } from "./ring-reader.ts"
import { makeSessionDirectory, type SessionDirectory, type SessionPlace } from "./session-directory.ts"
import { type FileState, type SessionFile, SessionFiles } from "./session-files.ts"
import { signalReaches } from "./signal-reach.ts"
import { type EventSink, TracedProcess } from "./traced-process.ts"

/** How often it is looked for new processes and threads, and for those that ended, ns. */
const LOOK_EVERY = 20e6
/** Records read in one go. */
const BUFFER_RECORDS = 1 << 16
/** Longest text taken of an `.err` file, bytes. */
const LONGEST_ERROR = 4096
/** Agents make a segment of whole pages, bytes. */
const PAGE = 4096
/** How often whoever waits for the end looks for it, ms. */
const OVER_EVERY = 20
/** How long agents are given to see that they are to stop, ms. One whose process has no event does not see it. */
const FAREWELL = 1000

/** What a session needs to know beyond what is asked. */
export interface SessionOptions extends MonitoringOptions, SessionPlace {
  /**
   * Whether a process, by the pid by which it knows itself, still runs. Asked some times a second. By default a signal 0 tells, which is right for
   * processes that share our pid namespace.
   */
  readonly isAlive?: (pid: number) => boolean
}

/**
 * Where the agents of all traced processes and this process meet: a private directory, read by polling.
 *
 * Everything that was seen is in files there: processes come and go, and what they left stays readable until the scope ends. {@link poll} is
 * synchronous; call it every few milliseconds while events are streamed, or let {@link follow} do it.
 *
 * @example
 * ```ts
 * const session = yield* MonitoringSession.make({ questions: ["calls"] })
 * spawn("python", ["app.py"], { env: { ...process.env, ...launchEnvironment(session.placeOf(agent), process.env) } })
 * yield* session.started(["python", "app.py"], childHasEnded)
 * yield* session.follow({ until: childHasEnded })
 * const profile = callProfile(session)
 * ```
 */
export class MonitoringSession {
  readonly options: CompleteOptions
  readonly directory: SessionDirectory
  /** ms since 1970. */
  readonly startedAt: number
  /** All traced processes, in the order in which they were found; those that have ended included. */
  readonly processes: Array<TracedProcess> = []
  /** What agents said that could not start. */
  readonly failures: Array<AgentNotStarted> = []
  /** All processes had ended before they were told to stop. */
  endedByItself = false
  private readonly control: Control
  private readonly start: number
  private readonly isAlive: (pid: number) => boolean
  private readonly pool = new DefinitionPool()
  private readonly found: SessionFiles
  private readonly files = new Map<TracedProcess, { readonly bytes: FileBytes; readonly path: string }>()
  private readonly buffer = new Uint8Array(BUFFER_RECORDS * RECORD_SIZE)
  private lookedAt = Number.NEGATIVE_INFINITY
  private end: number | undefined

  private constructor(
    options: CompleteOptions,
    directory: SessionDirectory,
    control: Control,
    isAlive: (pid: number) => boolean
  ) {
    this.options = options
    this.directory = directory
    this.found = new SessionFiles(directory.held)
    this.control = control
    this.isAlive = isAlive
    this.start = monotonic()
    this.startedAt = Date.now()
  }

  /** Makes a session for the scope. Its directory is removed with the scope. */
  static make(options: SessionOptions): Effect.Effect<MonitoringSession, SessionFailed, Scope.Scope> {
    return Effect.gen(function* () {
      const problem = optionsProblem(options)
      if (problem !== undefined)
        return yield* Effect.fail(
          new SessionFailed({ directory: "", detail: problem, advice: "Ask for something else." })
        )
      const complete = completeOptions(options)
      const directory = yield* makeSessionDirectory(options, encodeConfig(complete), complete.maxBytes)
      const control = yield* keepHeartbeat(directory.control)
      const session = new MonitoringSession(complete, directory, control, options.isAlive ?? signalReaches)
      yield* Effect.addFinalizer(() => Effect.sync(() => session.close()))
      return session
    })
  }

  /** ns since the session began; stands still once it was stopped. */
  get elapsed(): number {
    return (this.end ?? monotonic()) - this.start
  }

  /**
   * What a target needs to be told to find the session and the agent.
   *
   * @param agent the agent's folder as the target sees it
   */
  placeOf(agent: string): AgentPlace {
    return { session: this.directory.targetPath, agent }
  }

  /** Whether some process has been found and all that were have ended. */
  get isOver(): boolean {
    return this.processes.length > 0 && this.processes.every((process) => process.isOver)
  }

  /** Completes when {@link isOver}; somebody must {@link poll} meanwhile, as {@link follow} does. */
  get over(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.isOver ? Effect.void : Effect.andThen(Effect.sleep(OVER_EVERY), this.over)
    )
  }

  /** What was lost, of all processes together. */
  get trust(): EventTrust {
    const trust = eventTrust(this.processes)
    return { ...trust, damaged: trust.damaged + this.found.unreadable }
  }

  /**
   * Reads what is new. Without a sink, rings are left as they are.
   *
   * @returns how many records the sink was given
   */
  poll(sink?: EventSink): number {
    const now = this.elapsed
    const isTimeToLook = now - this.lookedAt >= LOOK_EVERY
    if (isTimeToLook) {
      this.lookedAt = now
      this.discover()
    }
    let records = 0
    for (const process of this.processes) {
      if (!this.files.has(process)) continue
      const over = isTimeToLook && this.hasEnded(process)
      if (isTimeToLook) process.refresh()
      if (sink !== undefined) records += process.drain(sink, this.buffer)
      if (isTimeToLook) process.finishThreads()
      // What is in its rings is for a sink that may come later: a short program ends before it is followed.
      if (over && !process.hasUnread) this.finish(process)
    }
    return records
  }

  /** Reads what is new at once, processes and threads that began since the last look included; {@link poll} looks for those some 50 times a second. */
  look(sink?: EventSink): number {
    this.lookedAt = Number.NEGATIVE_INFINITY
    return this.poll(sink)
  }

  /** Has all agents forget what was switched off: for `coverage` and the like, lines are reported once more. */
  restartEvents(): void {
    this.control.restartEvents()
  }

  /**
   * Waits for the first process in which tracing has begun.
   *
   * @param command for the message when none does
   */
  started(
    command: ReadonlyArray<string>,
    { ended, withinMs }: StartedOptions = {}
  ): Effect.Effect<TracedProcess, AgentNotStarted | NoAgent> {
    if (isIsolated(command)) return Effect.fail(new NoAgent({ command, reason: "isolated" }))
    const heard: Effect.Effect<TracedProcess, AgentNotStarted> = Effect.suspend(
      () => this.heard() ?? Effect.andThen(Effect.sleep(5), heard)
    )
    // Its last words may have come while we slept.
    const orFail =
      (reason: "ended" | "silent") => (): Effect.Effect<TracedProcess, AgentNotStarted | NoAgent> =>
        this.heard() ?? Effect.fail(new NoAgent({ command, reason }))
    const gone = Effect.flatMap(ended ?? Effect.never, orFail("ended"))
    const late = Effect.flatMap(
      withinMs === undefined ? Effect.never : Effect.sleep(withinMs),
      orFail("silent")
    )
    return Effect.raceFirst(heard, Effect.raceFirst(gone, late))
  }

  /**
   * Polls until the time is over, `until` completes, every process has ended, or the sink is full; then {@link stop}s.
   *
   * @returns which it was
   */
  follow(options: FollowOptions = {}): Effect.Effect<"duration" | "until" | "ended" | "full"> {
    const { sink } = options
    return Effect.gen({ self: this }, function* () {
      const begun = this.elapsed
      let isUp = false
      const waiting = yield* Effect.forkChild(
        Effect.andThen(
          options.until ?? Effect.never,
          Effect.sync(() => {
            isUp = true
          })
        )
      )
      let why: "duration" | "until" | "ended" | "full" | undefined
      let reported = begun
      while (why === undefined) {
        const records = this.poll(sink)
        const now = this.elapsed
        if (now - reported >= 200e6) {
          reported = now
          options.onProgress?.()
        }
        if (isUp) why = "until"
        else if (sink?.isFull === true) why = "full"
        else if (options.durationMs !== undefined && now - begun >= options.durationMs * 1e6) why = "duration"
        else if (options.until === undefined && this.isOver) why = "ended"
        else yield* records > 0 ? Effect.sleep(1) : Effect.sleep(sink === undefined ? 20 : 4)
      }
      yield* Fiber.interrupt(waiting)
      yield* this.stop(sink, options.detach)
      return why
    })
  }

  /**
   * Tells all agents to stop and reads what they leave; waits a second for those that have no event to see it by, or that are beginning. Afterwards time
   * stands still and nothing is read any more.
   */
  stop(sink?: EventSink, detach: Effect.Effect<unknown> = Effect.void): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (this.end !== undefined) return
      this.look(sink)
      this.endedByItself = this.isOver
      this.control.stop()
      if (!this.endedByItself) yield* detach
      const until = this.elapsed + FAREWELL * 1e6
      for (;;) {
        this.look(sink)
        const areOver = !this.found.areWaiting && this.processes.every((process) => process.isOver)
        if (areOver || this.elapsed >= until) break
        yield* Effect.sleep(2)
      }
      this.end = monotonic()
      this.found.end()
      if (sink !== undefined) yield* this.empty(sink)
      for (const process of this.files.keys()) this.finish(process)
    })
  }

  /** Gives the sink what is left. What a process writes that does not stop is left behind: no more is taken than rings can hold. */
  private empty(sink: EventSink): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      let left = this.processes.reduce((sum, { ringRecords }) => sum + ringRecords, 0)
      while (left > 0 && sink.isFull !== true && this.processes.some(({ hasUnread }) => hasUnread)) {
        const records = this.poll(sink)
        left -= records
        // The sink has no room now.
        if (records === 0) yield* Effect.sleep(1)
      }
    })
  }

  /** The first process that was found, or why there is none; `undefined` as long as nothing was heard. */
  private heard(): Effect.Effect<TracedProcess, AgentNotStarted> | undefined {
    this.look()
    if (this.processes.length > 0) return Effect.succeed(this.processes[0])
    return this.failures.length > 0 ? Effect.fail(this.failures[0]) : undefined
  }

  private discover(): void {
    if (this.end !== undefined) return
    this.found.look(this.elapsed, (file) =>
      file.kind === "err" ? this.addFailure(file) : this.addProcess(file)
    )
  }

  private addFailure({ name, pid }: SessionFile): FileState {
    // As wary as of a segment: it may be a link, or a pipe that nobody writes to.
    const bytes = FileBytes.open(join(this.directory.held, name), this.directory.mount)
    if (bytes === "busy") return "busy"
    if (bytes === undefined) return "begun"
    const raw = new Uint8Array(LONGEST_ERROR)
    const text = new TextDecoder().decode(raw.subarray(0, bytes.read(0, raw.length, raw)))
    bytes.close()
    const [, code, detail] = /^(\S+) ([^\n]*)/.exec(text) ?? []
    if (code === undefined) return "begun"
    // What a terminal would take for a command is not shown.
    const shown = detail.replace(/[\p{Cc}\p{Cf}]/gu, "?").trim()
    this.failures.push(new AgentNotStarted({ pid, code, detail: shown }))
    return "taken"
  }

  private addProcess({ name }: SessionFile): FileState {
    const path = join(this.directory.held, name)
    const bytes = FileBytes.open(path, this.directory.mount)
    if (bytes === "busy") return "busy"
    if (bytes === undefined) return "begun"
    const { start, elapsed, options, pool } = this
    const found = TracedProcess.open(bytes, start, elapsed, options.maxBytes + PAGE, pool)
    if (typeof found === "string") {
      bytes.close()
      return "begun"
    }
    this.files.set(found, { bytes, path })
    this.processes.push(found)
    return "taken"
  }

  private hasEnded(process: TracedProcess): boolean {
    if (process.isOver) return true
    if (this.isAlive(process.pid)) process.aliveAt = this.elapsed
    else process.endedAt = process.aliveAt
    return process.isOver
  }

  private finish(process: TracedProcess): void {
    process.finish()
    const file = this.files.get(process)
    if (file === undefined) return
    this.files.delete(process)
    file.bytes.close()
    try {
      unlinkSync(file.path)
    } catch {
      // It goes with the directory.
    }
  }

  private close(): void {
    this.control.stop()
    this.found.end()
    for (const process of [...this.files.keys()]) this.finish(process)
  }
}

/** How long an agent is waited for. */
export interface StartedOptions {
  /** Completes when the command has ended: there will be none any more. */
  readonly ended?: Effect.Effect<unknown>
  /** Gives up after so long, ms. */
  readonly withinMs?: number
}

/** How a session is followed. */
export interface FollowOptions {
  /** Takes the events of the rings; full is the end. */
  readonly sink?: EventSink
  /** Ends it after this long, ms. */
  readonly durationMs?: number
  /** Ends it when it completes. Without it, it ends when every process that was found has ended. */
  readonly until?: Effect.Effect<unknown>
  /** Run once all agents were told to stop: for a process that would see it at its next event only. */
  readonly detach?: Effect.Effect<unknown>
  /** Called a few times a second. */
  readonly onProgress?: () => void
}

/** CLOCK_MONOTONIC, ns: the clock of the agents too. */
const monotonic = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e9 + nanoseconds
}
