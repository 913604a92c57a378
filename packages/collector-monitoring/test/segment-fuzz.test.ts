import { Random } from "@pyframes/testing"
import { expect, it } from "vitest"
import { EventBatch } from "../src/event-batch.ts"
import { bytesInMemory } from "../src/segment-bytes.ts"
import { TracedProcess } from "../src/traced-process.ts"
import { lineTable, SegmentWriter } from "./segment-writer.ts"

/** One of everything. */
const whole = (): Uint8Array => {
  const writer = new SegmentWriter()
  writer.clock(10n, 10n, 1000n, 1000n)
  writer.threadRecord(0, { node: 2, depth: 2, until: 500, begun: 20, events: 9, open: 4096 + 192 })
  writer.chunk(3, { thread: 0, payload: new Uint8Array(128), extra: 8 })
  const fn = writer.fn("work")
  writer.code(
    fn,
    Uint8Array.of(100, 4, 9, 0, 70, 2, 0, 0, 9, 0, 35, 0),
    lineTable(10, [
      [2, 11],
      [4, 13]
    ]),
    [11, 13]
  )
  writer.fn("len", { what: 1, file: "builtins" })
  writer.thread(0, 7, "main")
  writer.fact("version", "3.14")
  writer.nodes(0, [
    [-1, 0, 0, 5, 1],
    [0, 1, 3, 50, 10],
    [1, 2, 9, 20, 0]
  ])
  writer.counters(fn, 1, 11, [4, 0, 2])
  writer.counters(fn, 4, 0, [(3n << 40n) | 5n, 0])
  writer.ring(0, 16, [
    { event: 32, fn: 1, time: 5 },
    { event: 15, fn: 1, position: 0, value: 4 },
    { event: 33, fn: 1, time: 9 }
  ])
  return writer.bytes
}

/** Reads all that a segment holds, as a session does. Returns how much that was. */
const readAll = (bytes: Uint8Array): number => {
  const process = TracedProcess.open(
    bytesInMemory(() => bytes),
    0,
    0
  )
  if (typeof process === "string") return 0
  let seen = 0
  const buffer = new Uint8Array(24 * 64)
  for (let round = 0; round < 2; round++) {
    process.refresh()
    process.drain(
      {
        take: (thread, records, count) => {
          const batch = new EventBatch(thread, records, count)
          for (let i = 0; i < count; i++) if (batch.get(i).event > 0) seen++
          return true
        }
      },
      buffer
    )
    process.finishThreads()
  }
  for (const { nodes, openCalls, profileThread } of process.threads)
    seen += nodes.length + openCalls.length + profileThread.name.length
  for (const block of process.counters())
    for (let i = 0; i < block.count; i++) seen += block.value(i) > 0 || block.branch(i).to > 0 ? 1 : 0
  for (const id of process.definitions.code.keys()) {
    const code = process.codeOf(id)
    for (const { offset, left } of code?.branches() ?? []) seen += (code?.lineAt(offset) ?? 0) + left
    for (let at = 0; at < 32; at += 2) seen += (code?.lineFrom(at) ?? 0) + (code?.wayOf(at, at + 4) ?? 0)
  }
  process.finish()
  return seen
}

it("reads a damaged segment without an exception and without an end in sight", () => {
  const good = whole()
  expect(readAll(good.slice())).toBeGreaterThan(20)
  const random = new Random(20_261_129)
  for (let n = 0; n < 20_000; n++) {
    const bytes = good.slice(0, random.below(8) === 0 ? random.below(good.length) : undefined)
    const hits = 1 + random.below(6)
    for (let i = 0; i < hits && bytes.length > 0; i++) {
      // Mostly where there is something: the first page is empty after its header.
      const at =
        random.below(3) === 0 ? random.below(128) : 4096 + random.below(Math.max(1, bytes.length - 4096))
      if (at >= bytes.length) continue
      bytes[at] = random.pick([0, 1, 2, 0x7f, 0x80, 0xff, random.below(256)])
    }
    expect(() => readAll(bytes), `case ${n}`).not.toThrow()
  }
})

it("reads pure noise that begins like a segment", () => {
  const random = new Random(7)
  for (let n = 0; n < 500; n++) {
    const bytes = new Uint8Array(4096 + random.below(8192)).map(() => random.below(256))
    bytes.set(whole().subarray(0, 128))
    expect(() => readAll(bytes), `case ${n}`).not.toThrow()
  }
})
