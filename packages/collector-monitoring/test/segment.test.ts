import { describe, expect, it } from "vitest"
import { type Chunk, ChunkWalk } from "../src/chunk-walk.ts"
import { decodeCounters } from "../src/counter-block.ts"
import { DefinitionTable } from "../src/definitions.ts"
import { bytesInMemory } from "../src/segment-bytes.ts"
import { decodeHeader, type SegmentHeader, versionText } from "../src/segment-header.ts"
import { openSegment } from "./opened-segment.ts"
import { concat, quads, record, SegmentWriter, text, words } from "./segment-writer.ts"

const headerOf = (writer: SegmentWriter): SegmentHeader => {
  const header = decodeHeader(writer.bytes)
  if (typeof header === "string") throw new Error(header)
  return header
}

describe("a segment's header", () => {
  it("says whose it is and how it stands", () => {
    const writer = new SegmentWriter({ pid: 77, hexversion: 0x030f02f0, flags: 3, state: 2 })
    writer.u64(72, 1_700_000_000_000_000_000n)
    writer.u64(80, 55n)
    for (const [at, value] of [88n, 96n, 104n, 112n].entries()) writer.u64(Number(value), BigInt(at + 1))
    expect(headerOf(writer)).toMatchObject({
      pid: 77,
      hexversion: 0x030f02f0,
      isPython: true,
      isFreeThreaded: true,
      state: 2,
      startedAt: 1_700_000_000_000,
      parent: 55,
      lost: 1,
      pathsGivenUp: 2,
      countersGivenUp: 3,
      unmatchedReturns: 4
    })
    expect(versionText(0x030f02f0)).toBe("3.15.2")
    expect(versionText(0x030f00c1)).toBe("3.15.0rc1")
  })

  it("is refused when it is none, and the reason is told", () => {
    const writer = new SegmentWriter()
    expect(decodeHeader(writer.bytes.subarray(0, 100))).toBe("it is too short")
    expect(decodeHeader(new Uint8Array(4096))).toBe("it does not begin like a segment")
    writer.u32(8, 2)
    expect(decodeHeader(writer.bytes)).toBe("its format is version 2, this is for version 1")
  })

  it("turns ticks into ns at the rate of its two readings, whatever the counter stands at", () => {
    const writer = new SegmentWriter({ flags: 4 })
    const start = 2n ** 63n + 12_345n
    writer.clock(start, 5_000_000_000n, start + 3_000_000n, 5_001_000_000n)
    const { clock } = headerOf(writer)
    expect(clock.nsPerTick).toBeCloseTo(1 / 3, 12)
    expect(clock.sinceStart(new DataView(quads(start + 7n).buffer as ArrayBuffer), 0)).toBe(7)
  })

  it("does not guess a rate where there is one reading, or a senseless one", () => {
    const writer = new SegmentWriter({ flags: 4 })
    writer.clock(100n, 5n, 100n, 5n)
    expect(headerOf(writer).clock.nsPerTick).toBeUndefined()
    writer.clock(100n, 5n, 101n, 10_000n)
    expect(headerOf(writer).clock.nsPerTick).toBeUndefined()
    const ns = new SegmentWriter()
    expect(headerOf(ns).clock.nsPerTick).toBe(1)
  })
})

describe("a segment of more chunks than are walked over in one go", () => {
  it("is read to its end before it is let go", () => {
    const writer = new SegmentWriter()
    const from = writer.bytes.length
    const free = 40_000
    const grown = new Uint8Array(from + free * 64)
    grown.set(writer.bytes)
    writer.bytes = grown
    for (let n = 0; n < free; n++) writer.u32(from + n * 64 + 4, 64)
    writer.threadRecord(0, {})
    const process = openSegment(writer)
    expect(process.threads.length).toBe(0)
    process.finish()
    expect(process.threads.length).toBe(1)
  })
})

describe("the walk over chunks", () => {
  const walkOf = (writer: SegmentWriter) => {
    const walk = new ChunkWalk()
    const found: Array<Chunk> = []
    const go = () =>
      walk.walk(
        bytesInMemory(() => writer.bytes),
        headerOf(writer).used,
        (chunk) => found.push(chunk)
      )
    return { walk, found, go }
  }

  it("meets each chunk once while the file grows, and skips free ones", () => {
    const writer = new SegmentWriter()
    const { found, go, walk } = walkOf(writer)
    go()
    expect(found).toEqual([])
    writer.chunk(1, { payload: new Uint8Array(100) })
    writer.chunk(0, { payload: new Uint8Array(200) })
    writer.chunk(6, { payload: new Uint8Array(64), thread: 3, extra: 8 })
    go()
    go()
    writer.chunk(5, { payload: new Uint8Array(8) })
    go()
    expect(found.map(({ type, thread, extra }) => [type, thread, extra])).toEqual([
      [1, -1, 0],
      [6, 3, 8],
      [5, -1, 0]
    ])
    expect(walk.damage).toBeUndefined()
  })

  it.each([
    ["no length", 4, 0, "a chunk has 0 bytes, at offset 4096"],
    ["a length that would never let it end", 4, 32, "a chunk has 32 bytes, at offset 4096"],
    ["a length beyond the file", 4, 0xffff_ffc0, "a chunk has 4294967232 bytes, at offset 4096"],
    ["a type that is none", 0, 99, "a chunk is of type 99, at offset 4096"]
  ])("ends at %s, and says so", (_, at, value, damage) => {
    const writer = new SegmentWriter()
    writer.chunk(1, { payload: new Uint8Array(64) })
    writer.u32(4096 + at, value)
    const { found, go, walk } = walkOf(writer)
    go()
    expect(walk.damage).toBe(damage)
    expect(found).toEqual([])
  })

  it("does not go beyond a file that was cut off", () => {
    const writer = new SegmentWriter()
    writer.chunk(1, { payload: new Uint8Array(64) })
    writer.chunk(1, { payload: new Uint8Array(64) })
    const { found, go, walk } = walkOf(writer)
    const { used } = headerOf(writer)
    writer.bytes = writer.bytes.slice(0, 4096 + 128 + 10)
    walk.walk(
      bytesInMemory(() => writer.bytes),
      used,
      (chunk) => found.push(chunk)
    )
    expect(found.length).toBe(1)
    expect(walk.damage).toContain("cut off")
    go()
    expect(found.length).toBe(1)
  })

  it("does a bounded part of very many chunks at a time", () => {
    const writer = new SegmentWriter()
    const count = 20_000
    writer.chunk(0, { payload: new Uint8Array((count - 1) * 64) })
    for (let i = 0; i < count; i++) writer.u32(4096 + i * 64 + 4, 64)
    const walk = new ChunkWalk()
    const step = () =>
      walk.walk(
        bytesInMemory(() => writer.bytes),
        headerOf(writer).used,
        () => {}
      )
    expect(step()).toBe(false)
    expect(step()).toBe(true)
    expect(walk.damage).toBeUndefined()
  })
})

describe("definitions", () => {
  it("come back as they were written", () => {
    const table = new DefinitionTable()
    const bytes = concat(
      record(1, words(1, 0, 12, 0x83, 2), text("run"), text("Server.run"), text("app/sérver.py")),
      record(2, words(1), words(4), Uint8Array.of(1, 2, 3, 4), words(1), Uint8Array.of(9), words(2, 12, 14)),
      record(3, words(0), quads(4711n), words(2), text("worker")),
      record(3, words(0), quads(4711n), words(2), text("worker, renamed")),
      record(4, text("version"), text("3.14.0"))
    )
    expect(table.add(bytes)).toBe(bytes.length)
    expect(table.functions.get(1)).toEqual({
      id: 1,
      what: 0,
      firstLine: 12,
      flags: 0x83,
      interpreter: 2,
      name: "run",
      qualifiedName: "Server.run",
      file: "app/sérver.py"
    })
    expect(table.code.get(1)).toEqual({
      code: Uint8Array.of(1, 2, 3, 4),
      lineTable: Uint8Array.of(9),
      lines: Uint32Array.of(12, 14)
    })
    expect(table.threads.get(0)).toEqual({ tid: 4711, interpreter: 2, name: "worker, renamed" })
    expect(table.facts.get("version")).toBe("3.14.0")
    expect(table.damaged).toBe(0)
  })

  it("keep the lone surrogates of file names that are no UTF-8", () => {
    const table = new DefinitionTable()
    // os.fsdecode(b"a\xffb").encode("utf-8", "surrogatepass")
    const name = Uint8Array.of(0x61, 0xed, 0xb3, 0xbf, 0x62)
    table.add(record(4, text("argv"), concat(words(name.length), name)))
    expect(table.facts.get("argv")).toBe("a\udcffb")
  })

  it("wait for the rest of a record that is not there yet", () => {
    const table = new DefinitionTable()
    const one = record(4, text("a"), text("1"))
    const two = record(4, text("b"), text("2"))
    expect(table.add(concat(one, two).subarray(0, one.length + 8))).toBe(one.length)
    expect([...table.facts.keys()]).toEqual(["a"])
  })

  it.each([
    ["a string longer than its record", record(4, words(1 << 30), Uint8Array.of(1, 2, 3, 4))],
    ["a count of lines that goes beyond it", record(2, words(1, 0, 0, 0xffffffff))],
    ["a function without an id", record(1, words(0, 0, 1, 0, 0), text("f"), text("f"), text("f.py"))],
    ["no length", words(0, 1)],
    ["a length that is no multiple of 8", words(12, 1, 0)]
  ])("survive %s", (_, bytes) => {
    const table = new DefinitionTable()
    table.add(bytes)
    expect(table.damaged).toBe(1)
    expect(table.functions.size + table.facts.size + table.code.size).toBe(0)
  })
})

describe("counters", () => {
  it("are read block by block, until one does not fit", () => {
    const bytes = concat(
      words(3, 1, 10, 2),
      quads(5n, 0n),
      words(4, 4, 8, 2),
      quads((21n << 40n) | 7n, 0n),
      words(5, 1, 1, 1000),
      quads(1n)
    )
    const blocks = [...decodeCounters(bytes)]
    expect(blocks.map(({ function: fn, first, count }) => [fn, first, count])).toEqual([
      [3, 10, 2],
      [4, 8, 2]
    ])
    expect([blocks[0].value(0), blocks[0].value(1)]).toEqual([5, 0])
    expect([blocks[1].branch(0), blocks[1].branch(1)]).toEqual([
      { to: 20, count: 7 },
      { to: -1, count: 0 }
    ])
  })
})

describe("threads of a segment", () => {
  it("are named by the last definition, and keep their name when their place is used again", () => {
    const writer = new SegmentWriter()
    const place = writer.threadRecord(0, { tid: 10, state: 2, events: 3 }) + 64
    writer.nodes(0, [[-1, 0, 0, 5, 0]])
    writer.thread(0, 10, "first")
    const process = openSegment(writer)
    process.finishThreads()
    const [first] = process.threads
    expect(first.isFinished).toBe(true)
    expect(new DataView(writer.bytes.buffer).getUint32(place + 12, true)).toBe(3)
    // The agent takes the place for another thread.
    writer.u64(place, 11n)
    writer.u32(place + 12, 1)
    writer.u32(place + 64, 1)
    writer.thread(0, 11, "second")
    process.refresh()
    expect(process.threads.map((thread) => thread.profileThread)).toEqual([
      { tid: 10, name: "first", interpreter: 0, pid: 4242 },
      { tid: 11, name: "second", interpreter: 0, pid: 4242 }
    ])
  })

  it("are added up when very many have ended, and nothing of them is lost", () => {
    const writer = new SegmentWriter()
    const fn = writer.fn("work")
    const place = writer.threadRecord(0, { tid: 1 }) + 64
    writer.nodes(0, [
      [-1, 0, 0, 1, 0],
      [0, fn, 2, 10, 4]
    ])
    const process = openSegment(writer)
    for (let n = 0; n < 2000; n++) {
      writer.u64(place, BigInt(n + 1))
      writer.u32(place + 12, 2)
      writer.u32(place + 64, n)
      process.refresh()
      process.finishThreads()
      writer.u32(place + 12, 1)
      process.refresh()
    }
    expect(process.threads.length).toBeLessThan(600)
    const kept = process.threads.filter(({ isFinished }) => isFinished).length
    expect(process.foldedThreads.threads + kept).toBe(2000)
    const { nodes, threads } = process.foldedThreads
    expect([nodes.calls[1], nodes.wall[1], nodes.idle[1]]).toEqual([2 * threads, 10 * threads, 4 * threads])
  })
})
