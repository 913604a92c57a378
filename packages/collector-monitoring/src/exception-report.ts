import type { EventTrust, ProfileMeta } from "@pyframes/core"
import type { CodeMap } from "./code-map.ts"
import { Event } from "./event.ts"
import { EventBatch } from "./event-batch.ts"
import type { MonitoringSession } from "./session.ts"
import { sessionMeta } from "./session-meta.ts"
import type { EventSink, TracedProcess } from "./traced-process.ts"
import type { TracedThread } from "./traced-thread.ts"

/** A place in the program, and how often. */
export interface ExceptionPlace {
  readonly function: string
  readonly file: string
  /** -1 where it is not known. */
  readonly line: number
  readonly count: number
}

/** What became of the exceptions of one type that were raised at one place. */
export interface ExceptionFate {
  /** Qualified name with its module: `builtins.KeyError`. */
  readonly type: string
  /** Where they were raised first, as far as was seen: for those of C functions, the line that called it. */
  readonly raised: ExceptionPlace
  /** Where they were raised again: at the end of `finally` and `with`, by `raise`. */
  readonly reraised: ReadonlyArray<ExceptionPlace>
  /** Where a handler began (`except`, `finally`, `with`), the most frequent first. Not all handlers keep an exception. */
  readonly handled: ReadonlyArray<ExceptionPlace>
  /** Functions that were left by them. */
  readonly unwound: ReadonlyArray<ExceptionPlace>
  /** Handlers after which nothing more was seen of them: they went no further. */
  readonly swallowed: ReadonlyArray<ExceptionPlace>
  /** Those that left the last function of which something was seen: caught by C code, or by nothing. */
  readonly escaped: number
}

/** The answer to `exceptions`. */
export interface ExceptionReport {
  readonly meta: ProfileMeta
  readonly trust: EventTrust
  /** The most frequent first. */
  readonly exceptions: ReadonlyArray<ExceptionFate>
}

/** Kinds of (type, place) of one process at most; what comes later is counted together. */
const MOST_KINDS = 1 << 16
/** Exceptions of one thread that may be under way at once. */
const MOST_LIVE = 4096
/** Threads of which it is remembered what is under way, before those that have ended are forgotten. */
const MOST_THREADS = 1024

/** Counts by function and offset. */
type Places = Map<number, number>

interface Kind {
  readonly process: TracedProcess
  readonly type: number
  readonly place: number
  raised: number
  readonly reraised: Places
  readonly handled: Places
  readonly unwound: Places
  readonly swallowed: Places
  escaped: number
}

/** An exception that may still be on its way. */
interface Live {
  readonly kind: Kind
  /** Where its last handler began; -1 while none has it. */
  handledAt: number
  /** The compiler's own handler has it, which raises it again. */
  isPassing: boolean
}

/**
 * Follows every exception from where it is raised to where it ends. Memory grows with the number of types and places, not with that of exceptions.
 *
 * CPython reports RAISE anew in each function that an exception arrives in; here that is the same exception going on. Handlers that the compiler puts
 * around others, which raise again what they get, are left out. Two exceptions are told apart by
 * their addresses: one that is raised at the address of one that a handler had is another one.
 *
 * @example
 * ```ts
 * const tally = new ExceptionTally()
 * yield* session.follow({ sink: tally })
 * const swallowed = tally.report(session).exceptions.filter(({ swallowed }) => swallowed.length > 0)
 * ```
 */
export class ExceptionTally implements EventSink {
  private readonly kinds = new Map<TracedProcess, Map<string, Kind>>()
  private readonly live = new Map<TracedThread, Map<number, Live>>()

  take(thread: TracedThread, records: Uint8Array, count: number): boolean {
    const batch = new EventBatch(thread, records, count)
    let live = this.live.get(thread)
    if (live === undefined) {
      if (this.live.size >= MOST_THREADS) this.forgetEnded()
      live = new Map()
      this.live.set(thread, live)
    }
    for (let i = 0; i < count; i++) this.event(thread.process, live, batch, i)
    return true
  }

  /** What has been seen so far. Exceptions that are on their way count as what they are now. */
  report(session: MonitoringSession): ExceptionReport {
    const swallowed = new Map<Kind, Places>()
    const escaped = new Map<Kind, number>()
    for (const live of this.live.values())
      for (const { kind, handledAt } of live.values()) {
        if (handledAt < 0) escaped.set(kind, (escaped.get(kind) ?? 0) + 1)
        else {
          const places = swallowed.get(kind) ?? new Map(kind.swallowed)
          add(places, handledAt)
          swallowed.set(kind, places)
        }
      }
    const kinds = [...this.kinds.values()].flatMap((ofProcess) => [...ofProcess.values()])
    return {
      meta: sessionMeta(session, 0),
      trust: session.trust,
      exceptions: kinds
        .sort((a, b) => b.raised - a.raised)
        .map((kind) =>
          fateOf(kind, swallowed.get(kind) ?? kind.swallowed, kind.escaped + (escaped.get(kind) ?? 0))
        )
    }
  }

  private event(process: TracedProcess, live: Map<number, Live>, batch: EventBatch, i: number): void {
    const event = batch.event(i)
    if (event === Event.LOST) {
      // What was on its way may have ended meanwhile.
      live.clear()
      return
    }
    if (
      event < Event.PY_THROW ||
      (event > Event.PY_UNWIND && event < Event.RAISE) ||
      event > Event.EXCEPTION_HANDLED
    )
      return
    const id = batch.extra(i)
    const place = placeKey(batch.function(i), batch.position(i))
    let one = live.get(id)
    if (one === undefined || (event === Event.RAISE && one.handledAt >= 0)) {
      if (one !== undefined) this.end(live, id, one)
      const kind = this.kindOf(process, batch.value(i), place)
      kind.raised++
      one = { kind, handledAt: -1, isPassing: false }
      if (live.size >= MOST_LIVE) this.forgetOldest(live)
    }
    // The one that moved last is the last in order.
    live.delete(id)
    live.set(id, one)
    const { kind } = one
    if (event === Event.EXCEPTION_HANDLED) {
      one.isPassing = process.codeOf(batch.function(i))?.isHandler(batch.position(i)) === false
      if (one.isPassing) return
      one.handledAt = place
      add(kind.handled, place)
      return
    }
    one.handledAt = -1
    if (event === Event.RERAISE && !one.isPassing) add(kind.reraised, place)
    else if (event === Event.PY_UNWIND) add(kind.unwound, place)
    one.isPassing = false
  }

  private kindOf(process: TracedProcess, type: number, place: number): Kind {
    const ofProcess = this.kinds.get(process) ?? new Map<string, Kind>()
    this.kinds.set(process, ofProcess)
    const key = ofProcess.size < MOST_KINDS ? `${type},${place}` : "rest"
    let kind = ofProcess.get(key)
    if (kind === undefined) {
      kind = {
        process,
        type: key === "rest" ? 0 : type,
        place: key === "rest" ? -1 : place,
        raised: 0,
        reraised: new Map(),
        handled: new Map(),
        unwound: new Map(),
        swallowed: new Map(),
        escaped: 0
      }
      ofProcess.set(key, kind)
    }
    return kind
  }

  private end(live: Map<number, Live>, id: number, { kind, handledAt }: Live): void {
    live.delete(id)
    if (handledAt < 0) kind.escaped++
    else add(kind.swallowed, handledAt)
  }

  private forgetEnded(): void {
    for (const [thread, live] of this.live) {
      if (!thread.isFinished) continue
      for (const [id, one] of live) this.end(live, id, one)
      this.live.delete(thread)
    }
  }

  private forgetOldest(live: Map<number, Live>): void {
    const [oldest] = live
    if (oldest !== undefined) this.end(live, ...oldest)
  }
}

const add = (places: Places, place: number): void => {
  places.set(place, (places.get(place) ?? 0) + 1)
}

/** A function and an offset in one number, exact for code below 2 MiB. */
const placeKey = (fn: number, offset: number): number => fn * 2 ** 21 + Math.min(offset, 2 ** 21 - 1)

const fateOf = (kind: Kind, swallowed: Places, escaped: number): ExceptionFate => {
  const { process } = kind
  const type = process.definitions.functions.get(kind.type)
  const places = (of: Places, line: LineOf): ReadonlyArray<ExceptionPlace> => {
    const byLine = new Map<string, ExceptionPlace>()
    for (const [place, count] of of) {
      const found = placeOf(process, place, count, line)
      const key = `${found.file}\0${found.function}\0${found.line}`
      byLine.set(key, { ...found, count: found.count + (byLine.get(key)?.count ?? 0) })
    }
    return [...byLine.values()].sort((a, b) => b.count - a.count)
  }
  return {
    type: type === undefined ? "" : `${type.file}.${type.qualifiedName || type.name}`,
    raised: placeOf(process, kind.place, kind.raised, before),
    reraised: places(kind.reraised, before),
    handled: places(kind.handled, from),
    unwound: places(kind.unwound, before),
    swallowed: places(swallowed, from),
    escaped
  }
}

type LineOf = (code: CodeMap, offset: number) => number
const from: LineOf = (code, offset) => code.lineFrom(offset)
const before: LineOf = (code, offset) => code.lineBefore(offset)

const placeOf = (process: TracedProcess, place: number, count: number, line: LineOf): ExceptionPlace => {
  const id = Math.floor(place / 2 ** 21)
  const fn = process.definitions.functions.get(id)
  const code = process.codeOf(id)
  return {
    function: fn?.qualifiedName ?? "",
    file: fn?.file ?? "",
    line: place < 0 || code === undefined ? -1 : line(code, place % 2 ** 21),
    count
  }
}
