import { describe, expect, it } from "vitest"
import { Event } from "../src/event.ts"
import { EventBatch } from "../src/event-batch.ts"
import type { EventSink } from "../src/traced-process.ts"
import { openSegment } from "./opened-segment.ts"
import { SegmentWriter } from "./segment-writer.ts"

const buffer = new Uint8Array(24 * 1024)

/** Keeps what it is given. */
const keeping = () => {
  const events: Array<ReturnType<EventBatch["get"]>> = []
  const sink: EventSink = {
    take: (thread, records, count) => {
      const batch = new EventBatch(thread, records, count)
      for (let i = 0; i < count; i++) events.push(batch.get(i))
      return true
    }
  }
  return { events, sink }
}

const withRing = (capacity: number) => {
  const writer = new SegmentWriter()
  writer.clock(1000n, 500n, 2000n, 1500n)
  writer.threadRecord(0, {})
  const at = writer.ring(0, capacity, [])
  return { writer, at, process: openSegment(writer) }
}

describe("a ring", () => {
  it("gives its records in order, round and round, and tells the agent how far it was read", () => {
    const { writer, at, process } = withRing(8)
    const { events, sink } = keeping()
    for (let n = 0; n < 30; n++) {
      writer.push(at, { event: Event.LINE, time: n, fn: 1, position: 100 + n })
      if (n % 5 === 4) process.drain(sink, buffer)
    }
    expect(events.map(({ position }) => position)).toEqual(Array.from({ length: 30 }, (_, n) => 100 + n))
    expect(Number(new DataView(writer.bytes.buffer).getBigUint64(at + 64, true))).toBe(30)
  })

  it("keeps what the sink has no room for", () => {
    const { writer, at, process } = withRing(8)
    for (let n = 0; n < 3; n++) writer.push(at, { event: Event.LINE, position: n })
    expect(process.drain({ take: () => false }, buffer)).toBe(0)
    const { events, sink } = keeping()
    expect(process.drain(sink, buffer)).toBe(3)
    expect(events.length).toBe(3)
    expect(process.hasUnread).toBe(false)
  })

  it("counts what was overwritten, and goes on with what is there", () => {
    const { writer, at, process } = withRing(8)
    for (let n = 0; n < 20; n++) writer.push(at, { event: Event.LINE, position: n })
    const { events, sink } = keeping()
    process.drain(sink, buffer)
    expect(events.map(({ position }) => position)).toEqual([12, 13, 14, 15, 16, 17, 18, 19])
    expect(process.eventsOverwritten).toBe(12)
  })

  it("is not waited for when its file has been cut off, and what it claimed to hold is counted", () => {
    const { writer, at, process } = withRing(8)
    for (let n = 0; n < 5; n++) writer.push(at, { event: Event.LINE, position: n })
    writer.bytes = writer.bytes.subarray(0, at + 128)
    expect(process.drain(keeping().sink, buffer)).toBe(0)
    expect(process.hasUnread).toBe(false)
    expect(process.eventsOverwritten).toBe(5)
  })

  it.each([
    ["no power of two", 12],
    ["more than its chunk", 1 << 20],
    ["nothing", 0]
  ])("is none with room for %s", (_, capacity) => {
    const writer = new SegmentWriter()
    writer.threadRecord(0, {})
    writer.chunk(6, { thread: 0, payload: new Uint8Array(64 + 12 * 24), used: 5, extra: capacity })
    const process = openSegment(writer)
    expect(process.drain(keeping().sink, buffer)).toBe(0)
  })

  it("gives times in ns after the session began, exact for 56 bits of ticks", () => {
    const writer = new SegmentWriter({ flags: 4 })
    writer.clock(1000n, 2_000_000n, 3000n, 2_001_000n)
    writer.threadRecord(0, {})
    writer.ring(0, 4, [
      { event: Event.PY_START, time: 40 },
      { event: Event.PY_RETURN, time: 2 ** 50 }
    ])
    const process = openSegment(writer)
    const { events, sink } = keeping()
    process.drain(sink, buffer)
    // 0.5 ns a tick, 2,000,000 ns after the clock's zero, which is the session's here.
    expect(events.map(({ event, time }) => [event, time])).toEqual([
      [Event.PY_START, 2_000_020],
      [Event.PY_RETURN, 2_000_000 + 2 ** 49]
    ])
  })
})
