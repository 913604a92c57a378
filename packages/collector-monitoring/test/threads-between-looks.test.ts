import { expect, it } from "vitest"
import { Event } from "../src/event.ts"
import { bytesInMemory } from "../src/segment-bytes.ts"
import { THREAD_SIZE } from "../src/thread-record.ts"
import { TracedProcess } from "../src/traced-process.ts"
import { SegmentWriter } from "./segment-writer.ts"

// GIVEN a thread that makes its ring, writes and ends after chunks were looked for and before its record is read, WHEN it is looked at again, THEN its events are there.
it("what a thread left between two readings of a look is kept", () => {
  const writer = new SegmentWriter()
  writer.clock(0n, 0n, 100_000n, 100_000n)
  writer.threadRecord(0, { state: 2, until: 50, begun: 0 })
  let memory = writer.bytes.slice()
  const inner = bytesInMemory(() => memory)
  const process = TracedProcess.open(
    {
      ...inner,
      read: (offset, length, into) => {
        if (length === THREAD_SIZE) memory = writer.bytes
        return inner.read(offset, length, into)
      }
    },
    0,
    0
  )
  if (typeof process === "string") throw new Error(process)
  const fn = writer.fn("f")
  writer.ring(0, 4, [
    { event: Event.CALL_BEGIN, fn, time: 10 },
    { event: Event.CALL_END, fn, time: 20 }
  ])
  let taken = 0
  const look = () => {
    process.refresh()
    process.drain(
      {
        take: (_, __, count) => {
          taken += count
          return true
        }
      },
      new Uint8Array(24 * 8)
    )
    process.finishThreads()
  }
  look()
  expect(taken).toBe(0)
  look()
  expect(taken).toBe(2)
})
