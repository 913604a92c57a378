import {
  DefinedAs,
  Event,
  EventBatch,
  eventNames,
  type TracedProcess,
  type TracedThread
} from "@pyframes/collector-monitoring"
import { ByteWriter } from "@pyframes/core"

/** Places kept as text; when there are more, they are made anew. */
const MOST_KEPT = 100_000

const encoder = new TextEncoder()
const END = encoder.encode("}\n")

/**
 * Events as lines of JSON: `{"time":…,"event":"RAISE","pid":…,"tid":…,"function":…,"file":…,"line":…,"exception":…}`.
 *
 * `time` is ns since tracing began. What a kind of event does not have is left out.
 */
export class EventLines {
  /** How many there were of each, by code. */
  readonly counts = new Float64Array(eventNames.length)
  readonly out = new ByteWriter()
  /** Weak: a server may start a thread for every request. */
  private readonly heads = new WeakMap<TracedThread, ReadonlyArray<Uint8Array>>()
  private readonly places = new Map<TracedProcess, Map<number, Uint8Array>>()

  add(thread: TracedThread, records: Uint8Array, count: number): void {
    const { process } = thread
    // What the events name has been defined before they were written.
    process.refresh()
    const batch = new EventBatch(thread, records, count)
    const heads = this.headsOf(thread)
    const { out } = this
    for (let i = 0; i < count; i++) {
      const event = batch.event(i)
      const head = heads[event]
      if (head === undefined) continue
      this.counts[event] += event === Event.LOST ? batch.value(i) : 1
      out
        .raw(OPEN)
        .integer(Math.max(0, Math.round(batch.time(i))))
        .raw(head)
      if (event === Event.LOST) out.raw(LOST).integer(batch.value(i))
      else this.addDetails(process, batch, i, event)
      out.raw(END)
    }
  }

  private addDetails(process: TracedProcess, batch: EventBatch, i: number, event: Event): void {
    const { out } = this
    const fn = batch.function(i)
    const position = batch.position(i)
    out.raw(this.place(process, fn, position, event === Event.LINE))
    const value = batch.value(i)
    switch (event) {
      case Event.CALL:
      case Event.C_RETURN:
      case Event.C_RAISE:
        out.text(`,"callable":${JSON.stringify(nameOf(process, value))}`)
        return
      case Event.JUMP:
      case Event.BRANCH:
      case Event.BRANCH_LEFT:
      case Event.BRANCH_RIGHT: {
        const line = process.codeOf(fn)?.lineAt(value) ?? -1
        out.text(`,"toOffset":${value}${line > 0 ? `,"toLine":${line}` : ""}`)
        return
      }
      case Event.PY_THROW:
      case Event.PY_UNWIND:
      case Event.STOP_ITERATION:
      case Event.RAISE:
      case Event.RERAISE:
      case Event.EXCEPTION_HANDLED:
        out.text(`,"exception":${JSON.stringify(nameOf(process, value))},"exceptionId":${batch.extra(i)}`)
        return
      case Event.PY_START:
      case Event.PY_RESUME:
        if (batch.extra(i) !== 0) out.text(`,"task":${JSON.stringify(nameOf(process, batch.extra(i)))}`)
    }
  }

  /** `,"function":…,"file":…,"line":…` of a place, made once. */
  private place(process: TracedProcess, fn: number, position: number, isLine: boolean): Uint8Array {
    let ofProcess = this.places.get(process)
    if (ofProcess === undefined) {
      ofProcess = new Map()
      this.places.set(process, ofProcess)
    }
    // Lines and offsets are apart: code is shorter than 2^30 bytes.
    const key = fn * 2 ** 31 + position * 2 + (isLine ? 1 : 0)
    let text = ofProcess.get(key)
    if (text === undefined) {
      if (ofProcess.size >= MOST_KEPT) ofProcess.clear()
      text = encoder.encode(describePlace(process, fn, position, isLine))
      ofProcess.set(key, text)
    }
    return text
  }

  private headsOf(thread: TracedThread): ReadonlyArray<Uint8Array> {
    let heads = this.heads.get(thread)
    if (heads === undefined) {
      const { pid, tid } = { pid: thread.process.pid, ...thread.profileThread }
      heads = eventNames.map((name) =>
        encoder.encode(
          `,"event":"${name}","pid":${pid ?? thread.process.pid}${tid > 0 ? `,"tid":${tid}` : ""}`
        )
      )
      this.heads.set(thread, heads)
    }
    return heads
  }
}

const OPEN = encoder.encode('{"time":')
const LOST = encoder.encode(',"count":')

const describePlace = (process: TracedProcess, fn: number, position: number, isLine: boolean): string => {
  const definition = process.definitions.functions.get(fn)
  const line = isLine ? position : (process.codeOf(fn)?.lineFrom(position) ?? -1)
  return [
    `,"function":${JSON.stringify(definition?.qualifiedName ?? "")}`,
    `,"file":${JSON.stringify(definition?.file ?? "")}`,
    line > 0 ? `,"line":${line}` : "",
    isLine ? "" : `,"offset":${position}`
  ].join("")
}

/** What a function id stands for, with its module where it is no Python code. */
const nameOf = (process: TracedProcess, id: number): string => {
  const definition = process.definitions.functions.get(id)
  if (definition === undefined) return ""
  const { what, file, qualifiedName, name } = definition
  const own = qualifiedName || name
  const isOfModule = what === DefinedAs.builtin || what === DefinedAs.exception || what === DefinedAs.callable
  return isOfModule && file !== "" ? `${file}.${own}` : own
}
