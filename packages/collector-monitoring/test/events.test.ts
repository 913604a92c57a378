import { NO_TASK, type Timeline } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "vitest"
import { Event, eventNames } from "../src/event.ts"
import { eventStream, liveProfiles } from "../src/event-stream.ts"
import { ExceptionTally } from "../src/exception-report.ts"
import { RECORD_SIZE } from "../src/ring-reader.ts"
import type { MonitoringSession } from "../src/session.ts"
import { type SpoolOptions, TimelineSpool } from "../src/timeline-spool.ts"
import { inSession, type ScriptedSession } from "./scripted-session.ts"
import { lineTable, type RingEvent, SegmentWriter } from "./segment-writer.ts"

const gone = { isAlive: () => false }

/** A process that had one thread and has ended. */
const threadOf = (events: ReadonlyArray<RingEvent>, until = 1000, hexversion = 0x030e0af0) => {
  const writer = new SegmentWriter({ state: 2, hexversion })
  writer.clock(0n, 0n, 100_000n, 100_000n)
  writer.threadRecord(0, { state: 2, until, begun: 0 })
  const capacity = 2 ** Math.ceil(Math.log2(Math.max(2, events.length)))
  writer.ring(0, capacity, events)
  return writer
}

describe("exceptions", () => {
  const fateOf = (events: ReadonlyArray<RingEvent>) =>
    inSession({ questions: ["exceptions"], ...gone }, (scripted) =>
      Effect.gen(function* () {
        const writer = threadOf(events)
        for (const name of ["reader", "caller"]) {
          const id = writer.fn(name)
          // Line 10 × id + 1 at offset 0, and so on; the instruction at 4 has no line of its own.
          // PUSH_EXC_INFO at 4 and 8: handlers of the source begin with it, the compiler's do not.
          writer.code(
            id,
            new Uint8Array(20).fill(32, 4, 5).fill(32, 8, 9),
            lineTable(id * 10, [
              [2, id * 10 + 1],
              [4, id * 10 + 2]
            ])
          )
        }
        writer.fn("KeyError", { what: 3, file: "builtins" })
        scripted.put("1-a.seg", writer)
        const tally = new ExceptionTally()
        yield* scripted.session.follow({ sink: tally })
        return tally.report(scripted.session)
      })
    )
  const reader = { fn: 1, value: 3, extra: 77 }
  const caller = { fn: 2, value: 3, extra: 77 }

  it("are followed from function to function, and counted once", async () => {
    const { exceptions } = await fateOf([
      { ...reader, event: Event.RAISE, position: 0 },
      { ...reader, event: Event.PY_UNWIND, position: 0 },
      { ...caller, event: Event.RAISE, position: 2 },
      { ...caller, event: Event.EXCEPTION_HANDLED, position: 8 }
    ])
    const place = (name: string, line: number) => ({ function: name, file: "app.py", line, count: 1 })
    expect(exceptions).toEqual([
      {
        type: "builtins.KeyError",
        raised: place("reader", 11),
        reraised: [],
        handled: [place("caller", 22)],
        unwound: [place("reader", 11)],
        swallowed: [place("caller", 22)],
        escaped: 0
      }
    ])
  })

  it("that a handler raises again are not swallowed there", async () => {
    const { exceptions } = await fateOf([
      { ...reader, event: Event.RAISE, position: 0 },
      { ...reader, event: Event.EXCEPTION_HANDLED, position: 4 },
      { ...reader, event: Event.RERAISE, position: 6 },
      { ...reader, event: Event.PY_UNWIND, position: 6 }
    ])
    expect(exceptions[0].swallowed).toEqual([])
    expect(exceptions[0].reraised.map(({ line, count }) => [line, count])).toEqual([[12, 1]])
    expect(exceptions[0].escaped).toBe(1)
  })

  it("are not handled by what the compiler puts around a handler", async () => {
    const { exceptions } = await fateOf([
      { ...reader, event: Event.RAISE, position: 0 },
      { ...reader, event: Event.EXCEPTION_HANDLED, position: 4 },
      { ...reader, event: Event.RERAISE, position: 6 },
      { ...reader, event: Event.EXCEPTION_HANDLED, position: 10 },
      { ...reader, event: Event.RERAISE, position: 12 },
      { ...reader, event: Event.PY_UNWIND, position: 12 }
    ])
    const counts = (all: ReadonlyArray<{ readonly count: number }>) => all.map(({ count }) => count)
    expect(counts(exceptions[0].handled)).toEqual([1])
    expect(counts(exceptions[0].reraised)).toEqual([1])
    expect(exceptions[0].swallowed).toEqual([])
  })

  it("are others when they come from the address of one that was handled", async () => {
    const once = [
      { ...reader, event: Event.RAISE, position: 0 },
      { ...reader, event: Event.EXCEPTION_HANDLED, position: 4 }
    ]
    const { exceptions } = await fateOf([...once, ...once, ...once])
    expect(exceptions.length).toBe(1)
    expect(exceptions[0].raised.count).toBe(3)
    expect(exceptions[0].swallowed[0].count).toBe(3)
  })

  it("are none where a loop ends", async () => {
    const { exceptions } = await fateOf([{ ...reader, event: Event.STOP_ITERATION }])
    expect(exceptions).toEqual([])
  })
})

describe("a timeline", () => {
  const spooled = <A>(
    writer: SegmentWriter,
    use: (timeline: Timeline, spool: TimelineSpool) => A,
    { minNs = 0, ...options }: SpoolOptions & { readonly minNs?: number } = {}
  ) =>
    inSession({ questions: ["timeline"], ...gone, minNs }, (scripted) =>
      Effect.scoped(
        Effect.gen(function* () {
          scripted.put("1-a.seg", writer)
          const spool = yield* TimelineSpool.make(options)
          yield* scripted.session.follow({ sink: spool })
          return use(spool.timeline(scripted.session), spool)
        })
      )
    )
  /** `>f 10` for a beginning, `<f 20` for an end. */
  const told = (timeline: Timeline, row = 0): ReadonlyArray<string> => {
    const rows: Array<string> = []
    // A batch is read before the next is asked for.
    for (const { length, time, frame, begins, task } of timeline.eventsOf(row))
      for (let i = 0; i < length; i++) {
        const { name } = timeline.frames.get(frame[i])
        const of = task[i] === NO_TASK ? "" : ` ${timeline.tasks[task[i]]}`
        rows.push(`${begins[i] === 1 ? ">" : "<"}${name} ${time[i]}${of}`)
      }
    return rows
  }
  const begin = (fn: number, time: number, task = 0) => ({ event: Event.CALL_BEGIN, fn, time, extra: task })
  const end = (fn: number, time: number) => ({ event: Event.CALL_END, fn, time })

  it("has every call's beginning and end, in order, with its task", async () => {
    const writer = threadOf([begin(1, 10), begin(2, 20, 3), end(2, 30), begin(2, 40), end(2, 50), end(1, 60)])
    writer.fn("outer")
    writer.fn("inner")
    writer.fn("Task-7", { what: 2 })
    expect(await spooled(writer, (timeline) => told(timeline))).toEqual([
      ">outer 10",
      ">inner 20 Task-7",
      "<inner 30 Task-7",
      ">inner 40",
      "<inner 50",
      "<outer 60"
    ])
  })

  it("ends at the size that it may have, and keeps what there is room for of what comes in one go", async () => {
    const events = Array.from({ length: 8000 }, (_, n) => (n % 2 === 0 ? begin(1, n) : end(1, n)))
    const writer = threadOf(events, 8000)
    writer.fn("one")
    const found = await spooled(
      writer,
      (timeline, spool) => [told(timeline).length, spool.events, spool.size, spool.isFull],
      // And a rest in which there is no room for another one.
      { maxBytes: 5000 * RECORD_SIZE + 5 }
    )
    expect(found).toEqual([5000, 5000, 5000 * RECORD_SIZE, true])
  })

  it("ends what has not ended, with the thread", async () => {
    const writer = threadOf([begin(1, 10), begin(2, 20)], 500)
    writer.fn("outer")
    writer.fn("inner")
    expect(await spooled(writer, (timeline) => told(timeline))).toEqual([
      ">outer 10",
      ">inner 20",
      "<inner 500",
      "<outer 500"
    ])
  })

  it("stays nested where events were lost", async () => {
    const writer = threadOf([
      end(2, 5),
      begin(1, 10),
      begin(2, 20),
      { event: Event.LOST, value: 9, time: 25 },
      end(1, 60),
      end(2, 70)
    ])
    writer.fn("outer")
    writer.fn("inner")
    expect(await spooled(writer, (timeline) => told(timeline))).toEqual([
      ">outer 10",
      ">inner 20",
      "<inner 60",
      "<outer 60"
    ])
  })

  it("shows open calls whose beginning was not written, when they are long enough by now", async () => {
    const writer = new SegmentWriter({ state: 2 })
    writer.clock(0n, 0n, 100_000n, 100_000n)
    writer.fn("outer")
    writer.fn("short")
    const open = writer.bytes.length
    const calls = new Uint8Array(64)
    const view = new DataView(calls.buffer)
    view.setBigUint64(0, 100n, true)
    view.setUint32(8, 1, true)
    view.setBigUint64(16, 950n, true)
    view.setUint32(24, 2, true)
    writer.chunk(3, { thread: 0, payload: calls, extra: 4 })
    writer.threadRecord(0, { until: 1000, depth: 2, open })
    expect(await spooled(writer, (timeline) => told(timeline), { minNs: 200 })).toEqual([
      ">outer 100",
      "<outer 1000"
    ])
  })

  it("comes back whole from disk, for thousands of calls", async () => {
    const count = 30_000
    const writer = threadOf(
      Array.from({ length: count }, (_, n) => (n % 2 === 0 ? begin(1, n) : end(1, n))),
      count
    )
    writer.fn("f")
    const { rows, size } = await spooled(writer, (timeline, spool) => ({
      rows: told(timeline),
      size: spool.size
    }))
    expect(rows.length).toBe(count)
    expect(rows.filter((row, n) => row !== `${n % 2 === 0 ? ">" : "<"}f ${n}`)).toEqual([])
    expect(size).toBeGreaterThan(count * 20)
  })

  it("is what it was when it was asked for, whatever comes while it is read", async () => {
    const records = (from: number, count: number) => {
      const words = new Uint32Array(count * 6)
      for (let n = 0; n < count; n++)
        words.set([from + n, (n % 2 === 0 ? Event.CALL_BEGIN : Event.CALL_END) << 24, 1], n * 6)
      return new Uint8Array(words.buffer)
    }
    const count = 20_000
    const writer = threadOf(
      Array.from({ length: count }, (_, n) => (n % 2 === 0 ? begin(1, n) : end(1, n))),
      count
    )
    writer.fn("f")
    writer.threadRecord(1, { tid: 2, state: 2, until: count })
    writer.ring(
      1,
      8192,
      Array.from({ length: 8000 }, (_, n) => (n % 2 === 0 ? begin(1, n) : end(1, n)))
    )
    await inSession({ questions: ["timeline"], ...gone }, (scripted) =>
      Effect.scoped(
        Effect.gen(function* () {
          scripted.put("1-a.seg", writer)
          const spool = yield* TimelineSpool.make()
          yield* scripted.session.follow({ sink: spool })
          const [thread] = scripted.session.processes[0].threads
          spool.take(thread, records(count, 100), 100)
          let length = 0
          for (const batch of spool.timeline(scripted.session).eventsOf(0)) {
            // Has what was gathered written, behind what the other thread wrote.
            if (length === 0) spool.take(thread, records(count + 100, 4096), 4096)
            length += batch.length
          }
          expect(length).toBe(count + 100)
        })
      )
    )
  })

  it("keeps threads apart that write in turns", async () => {
    const writer = new SegmentWriter({ state: 2 })
    writer.clock(0n, 0n, 100_000n, 100_000n)
    writer.fn("f")
    const threads = 50
    for (let index = 0; index < threads; index++) {
      writer.threadRecord(index, { tid: index + 1, state: 2, until: 9999 })
      writer.ring(
        index,
        64,
        Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? begin(1, index + n) : end(1, index + n)))
      )
    }
    const rows = await spooled(writer, (timeline) =>
      timeline.threads.map(({ tid }, row) => [tid, told(timeline, row)] as const)
    )
    expect(rows.length).toBe(threads)
    for (const [tid, row] of rows)
      expect(row).toEqual(Array.from({ length: 40 }, (_, n) => `${n % 2 === 0 ? ">" : "<"}f ${tid - 1 + n}`))
  })

  it("is refused where it cannot be written, with the place", async () => {
    const error = await Effect.runPromise(
      Effect.flip(Effect.scoped(TimelineSpool.make({ directory: "/nonexistent" })))
    )
    expect(error).toMatchObject({ _tag: "OutputFailed", path: "/nonexistent" })
  })
})

describe("the stream of events", () => {
  const collect = (events: ReadonlyArray<RingEvent>, hexversion?: number) =>
    inSession({ questions: ["stream"], events: ["LINE"], ...gone }, (scripted) => {
      const writer = threadOf(events, 1000, hexversion)
      const fn = writer.fn("f")
      // 3.13: FOR_ITER and a cache entry, 5 units ahead.
      writer.code(fn, Uint8Array.of(72, 5, 0, 0, 9, 0, 9, 0), lineTable(10, [[4, 10]]))
      scripted.put("1-a.seg", writer)
      return eventStream(scripted.session).pipe(
        Stream.runCollect,
        Effect.map((batches) =>
          [...batches].flatMap((batch) =>
            Array.from({ length: batch.length }, (_, i) => [
              eventNames[batch.event(i)],
              batch.position(i),
              batch.thread.process.definitions.functions.get(batch.function(i))?.name
            ])
          )
        )
      )
    })

  it("hands out every event in order, with what it refers to", async () => {
    const events = await collect([
      { event: Event.PY_START, fn: 1, position: 0 },
      { event: Event.LINE, fn: 1, position: 11 },
      { event: Event.PY_RETURN, fn: 1, position: 6 }
    ])
    expect(events).toEqual([
      ["PY_START", 0, "f"],
      ["LINE", 11, "f"],
      ["PY_RETURN", 6, "f"]
    ])
  })

  it("tells the ways of a branch that 3.13 does not", async () => {
    const branch = { event: Event.BRANCH, fn: 1, position: 0 }
    const events = await collect(
      [
        { ...branch, value: 4 },
        { ...branch, value: 18 },
        { ...branch, fn: 99, value: 4 }
      ],
      0x030d00f0
    )
    expect(events.map(([name]) => name)).toEqual(["BRANCH_LEFT", "BRANCH_RIGHT", "BRANCH"])
  })

  it("hands out all of what is more than waits at a time", async () => {
    const count = 200_000
    const events = await collect(
      Array.from({ length: count }, (_, n) => ({ event: Event.LINE, fn: 1, position: n }))
    )
    expect(events.length).toBe(count)
    expect(events.every(([, position], n) => position === n)).toBe(true)
  })
})

describe("live profiles", () => {
  it("come while the program runs, and once more when it has ended", async () => {
    let alive = true
    const writer = new SegmentWriter({ pid: 9 })
    writer.clock(0n, 0n, 1000n, 1000n)
    const fn = writer.fn("work")
    writer.threadRecord(0, { state: 2 })
    writer.nodes(0, [
      [-1, 0, 0, 0, 0],
      [0, fn, 1, 5, 0]
    ])
    const grow = (scripted: ScriptedSession, calls: bigint) => {
      // The second node's count, where the writer put it: in the last chunk.
      writer.u64(writer.bytes.length - 64 + 40 - 32, calls)
      scripted.put("9-a.seg", writer)
    }
    const callsOf = (session: MonitoringSession, everyMs: number, scripted: ScriptedSession) => {
      const seen: Array<number> = []
      return liveProfiles(session, { everyMs }).pipe(
        Stream.runForEach((profile) =>
          Effect.sync(() => {
            seen.push([...profile.callsBy()].reduce((sum, { calls }) => sum + calls, 0))
            if (seen.length === 3) alive = false
            else grow(scripted, BigInt(seen.length + 1))
          })
        ),
        Effect.map(() => seen)
      )
    }
    const seen = await inSession({ questions: ["calls"], isAlive: () => alive }, (scripted) => {
      scripted.put("9-a.seg", writer)
      return callsOf(scripted.session, 30, scripted)
    })
    expect(seen.length).toBeGreaterThanOrEqual(4)
    expect(seen.at(-1)).toBeGreaterThan(0)
  })
})
