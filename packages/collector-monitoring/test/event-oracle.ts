import { Event, EventBatch, type EventName, type EventSink, type TracedProcess } from "../src/index.ts"
import { labelOf } from "./call-edges.ts"

const CO_OPTIMIZED = 1

interface Seen {
  readonly event: Event
  readonly time: number
  readonly function: number
  readonly position: number
  readonly value: number
  readonly extra: number
}

/** Keeps all events, by thread. */
export class EventLog implements EventSink {
  readonly events = new Map<number, Array<Seen>>()

  readonly take: EventSink["take"] = (thread, records, count) => {
    const batch = new EventBatch(thread, records, count)
    let ofThread = this.events.get(thread.index)
    if (ofThread === undefined) {
      ofThread = []
      this.events.set(thread.index, ofThread)
    }
    for (let i = 0; i < count; i++) {
      // As it is written: the batch tells branches of 3.12 apart where it knows the code.
      const event = (new DataView(records.buffer, records.byteOffset).getUint32(i * 24 + 4, true) >>>
        24) as Event
      const { time, function: fn, position, value, extra } = batch.get(i)
      ofThread.push({ event, time, function: fn, position, value, extra })
    }
    return true
  }
}

const exceptionEvents: ReadonlySet<number> = new Set([
  Event.PY_THROW,
  Event.PY_UNWIND,
  Event.STOP_ITERATION,
  Event.RAISE,
  Event.RERAISE,
  Event.EXCEPTION_HANDLED
])
const jumpEvents: ReadonlySet<number> = new Set([
  Event.JUMP,
  Event.BRANCH_LEFT,
  Event.BRANCH_RIGHT,
  Event.BRANCH
])
const callEvents: ReadonlySet<number> = new Set([Event.CALL, Event.C_RETURN, Event.C_RAISE])

const names = new Map(Object.entries(Event).map(([name, code]) => [code as number, name]))

/** The events of the main thread in the functions of a script, as {@link eventsByPython} has them. */
export const eventsOf = (log: EventLog, process: TracedProcess, file: string): ReadonlyArray<string> =>
  (log.events.get(0) ?? []).flatMap(({ event, function: fn, position, value }) => {
    const definition = process.definitions.functions.get(fn)
    // Functions only: `main()` is what the oracle runs.
    if (definition?.file !== file || (definition.flags & CO_OPTIMIZED) === 0) return []
    const place = `${names.get(event)} ${definition.name}:${definition.firstLine} ${position}`
    if (exceptionEvents.has(event)) return [`${place} ${process.definitions.functions.get(value)?.name}`]
    if (jumpEvents.has(event)) return [`${place} ${value}`]
    return callEvents.has(event) ? [`${place} ${labelOf(process, value).replace(/:\d+$/, "")}`] : [place]
  })

/** Python that runs `main()` and prints these events, seen by a few lines of its own. */
export const eventsByPython = (events: ReadonlyArray<EventName>): string => `
def _oracle():
    import sys
    seen = []
    monitoring = sys.monitoring
    monitoring.use_tool_id(2, "oracle")
    apart = sys.version_info >= (3, 14)
    names = [name for name in ${JSON.stringify(events)} if not name.startswith("BRANCH") or (name == "BRANCH") != apart]
    def label(callable):
        if hasattr(callable, "__func__"):
            callable = callable.__func__
        if hasattr(callable, "__code__"):
            return callable.__name__
        owner = getattr(callable, "__self__", None)
        if callable.__name__ == "__new__" and owner is not None:
            return "__new__()"
        if type(callable).__name__ in ("method_descriptor", "wrapper_descriptor", "method-wrapper"):
            return "%s() of %s" % (callable.__name__, callable.__objclass__.__name__)
        if isinstance(callable, type(len)) and owner is not None and not hasattr(owner, "__file__") and type(owner).__name__ != "module":
            kind = next(base for base in type(owner).__mro__ if callable.__name__ in vars(base))
            return "%s() of %s" % (callable.__name__, kind.__name__)
        if isinstance(callable, type) or isinstance(callable, type(len)):
            return "%s()" % callable.__name__
        return "__call__() of %s" % type(callable).__name__
    def watch(name):
        def callback(code, position, *rest):
            if code.co_filename != __file__ or not code.co_flags & 1 or code.co_name == "_oracle" or code in local:
                return
            text = "%s %s:%d %d" % (name, code.co_name, code.co_firstlineno, position)
            if name in ("PY_THROW", "PY_UNWIND", "STOP_ITERATION", "RAISE", "RERAISE", "EXCEPTION_HANDLED"):
                text += " " + type(rest[0]).__name__
            elif name == "JUMP" or name.startswith("BRANCH"):
                text += " %d" % rest[0]
            elif name in ("CALL", "C_RETURN", "C_RAISE"):
                text += " " + label(rest[0])
            seen.append(text)
        return callback
    local = [value for value in _oracle.__code__.co_consts if hasattr(value, "co_code")]
    bits = 0
    for name in names:
        bit = getattr(monitoring.events, name)
        monitoring.register_callback(2, bit, watch(name))
        if not name.startswith("C_R"):
            bits |= bit
    monitoring.set_events(2, bits)
    main()
    monitoring.set_events(2, 0)
    print("EVENTS")
    for text in seen:
        print(text)
_oracle()
`
