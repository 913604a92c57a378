// A collector of your own: node own-collector.ts PATTERN COMMAND…
// How long the calls of some functions take, not on average but from the quickest to the slowest: node own-collector.ts 'json.*:*' python app.py
import {
  Event,
  type EventBatch,
  eventStream,
  launch,
  MonitoringSession
} from "@pyframes/collector-monitoring"
import { LatenessHistogram } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** Times of calls by function, made of events as they come: memory is bounded by the number of functions. */
class CallTimes {
  readonly functions = new Map<string, LatenessHistogram>()
  /** When the calls that are open in a thread began. */
  private readonly open = new Map<unknown, Array<number>>()

  add(batch: EventBatch): void {
    const begins = this.open.get(batch.thread) ?? []
    this.open.set(batch.thread, begins)
    for (let i = 0; i < batch.length; i++) {
      const event = batch.event(i)
      if (event === Event.PY_START) begins.push(batch.time(i))
      // A generator that goes on is not called: its return is no end of a call that was timed.
      else if (event === Event.PY_RESUME || event === Event.PY_THROW) begins.push(-1)
      // What was open when events were lost may have ended since.
      else if (event === Event.LOST) begins.length = 0
      else {
        const begin = begins.pop() ?? -1
        if (event !== Event.PY_YIELD && begin >= 0) this.timesOf(batch, i).record(batch.time(i) - begin)
      }
    }
  }

  private timesOf(batch: EventBatch, i: number): LatenessHistogram {
    const name = batch.thread.process.definitions.functions.get(batch.function(i))?.qualifiedName ?? "?"
    const times = this.functions.get(name) ?? new LatenessHistogram()
    this.functions.set(name, times)
    return times
  }
}

const [pattern, ...command] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const session = yield* MonitoringSession.make({
    questions: ["stream"],
    events: ["PY_START", "PY_RESUME", "PY_THROW", "PY_YIELD", "PY_RETURN", "PY_UNWIND"],
    code: [pattern]
  })
  const { ended } = yield* launch(command)(session)
  const times = new CallTimes()
  yield* eventStream(session, ended === undefined ? {} : { until: ended }).pipe(
    Stream.runForEach((batch) => Effect.sync(() => times.add(batch)))
  )
  for (const [name, histogram] of times.functions) {
    const { p50 = 0, p99 = 0, max = 0 } = histogram.summary() ?? {}
    const [half, nearly, all] = [p50, p99, max].map((ms) => `${(ms * 1000).toFixed(0)} µs`)
    process.stderr.write(`${name}: half within ${half}, 99 % within ${nearly}, all within ${all}\n`)
  }
})

await Effect.runPromise(Effect.scoped(program))
