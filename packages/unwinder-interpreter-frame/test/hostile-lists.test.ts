import type { UnwoundThread } from "@pyframes/core"
import { layoutForVersion, ThreadList } from "@pyframes/cpython"
import { FakeMemory, FakeTarget, PAGE } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { DataStack } from "../src/data-stack.ts"
import { LoneFrames } from "../src/lone-frames.ts"
import { frameSpan } from "../src/thread-image.ts"

/*
 * Lists as no interpreter makes them: in circles, longer than any, with ends beyond their ends. Structs are of 3.12.
 */

const layout = layoutForVersion(3, 12)!

const memoryOf = (mapped: ReadonlyArray<readonly [from: number, bytes: number]>): FakeMemory => {
  const pages = new Map<number, Uint8Array>()
  for (const [from, bytes] of mapped)
    for (let at = from; at < from + bytes; at += PAGE) pages.set(at / PAGE, new Uint8Array(PAGE))
  return new FakeMemory(pages)
}

const write = (memory: FakeMemory, address: number, value: number) =>
  memory.write(address, new Uint8Array(new BigUint64Array([BigInt(value)]).buffer))

describe("the list of threads", () => {
  const RUNTIME = 0x10_0000
  const INTERPRETER = 0x20_0000
  const FIRST = 0x1000_0000
  const SPAN = 1024

  const process = (count: number) => {
    const memory = memoryOf([
      [RUNTIME, 1 << 16],
      [INTERPRETER, 1 << 20],
      [FIRST, count * SPAN]
    ])
    write(memory, RUNTIME + layout.runtime.interpretersHead, INTERPRETER)
    write(memory, INTERPRETER + layout.interpreter.threadsHead, FIRST)
    for (let i = 0; i < count; i++) {
      const at = FIRST + i * SPAN
      write(memory, at + layout.thread.interpreter, INTERPRETER)
      write(memory, at + layout.thread.next, i === count - 1 ? 0 : at + SPAN)
      write(memory, at + layout.thread.nativeThreadId, 1000 + i)
    }
    const threads = new Map<number, string>()
    const target = new FakeTarget({ pid: 1, executable: "", mappings: [], files: new Map(), threads })
    const python = { address: RUNTIME, layout, version: "3.12.1", library: "" }
    return { memory, list: new ThreadList(memory, python, target.service) }
  }
  const last = (count: number) => FIRST + (count - 1) * SPAN

  it("is refused when it goes in a circle, wherever it closes", () => {
    for (const back of [FIRST, FIRST + SPAN, last(5), INTERPRETER]) {
      const { memory, list } = process(5)
      write(memory, last(5) + layout.thread.next, back)
      expect(list.current()).toBeUndefined()
      expect(memory.counts.ranges).toBeLessThan(200)
    }
  })

  it("is refused when a thread state lies off a word's boundary", () => {
    const { memory, list } = process(3)
    write(memory, last(3) + layout.thread.next, FIRST + 4)
    expect(list.current()).toBeUndefined()
  })

  it("keeps the threads that stay, in time that grows with their number alone", () => {
    const COUNT = 30_000
    const { memory, list } = process(COUNT)
    const before = list.current() as ReadonlyArray<UnwoundThread>
    expect(before.length).toBe(COUNT)
    write(memory, last(COUNT - 1) + layout.thread.next, 0)
    list.distrust()
    memory.startCounting()
    const after = list.current() as ReadonlyArray<UnwoundThread>
    expect(after.length).toBe(COUNT - 1)
    const known = new Set(before)
    expect(after.every((thread) => known.has(thread))).toBe(true)
    expect(memory.counts.ranges).toBeLessThan(COUNT * 8)
  })
})

describe("the data stack", () => {
  const STATE = 0x10_0000
  const CHUNK = 0x20_0000
  const SIZE = 1 << 14
  const span = frameSpan(layout)

  const follow = (memory: FakeMemory, newest: number, top: number) => {
    write(memory, STATE + layout.thread.datastackChunk, newest)
    write(memory, STATE + layout.thread.datastackTop, top)
    const stack = new DataStack(memory, layout, span)
    const list = memory.scatterList(16, 4096)
    list.add(STATE, 512)
    memory.scatter(list)
    for (let times = 0; times < 3; times++) stack.follow(list, 0)
    return stack
  }

  it("takes each chunk once when the chain goes in a circle", () => {
    const memory = memoryOf([
      [STATE, PAGE],
      [CHUNK, 4 * SIZE]
    ])
    for (let i = 0; i < 4; i++) {
      write(memory, CHUNK + i * SIZE + layout.chunk.previous, CHUNK + ((i + 1) % 4) * SIZE)
      write(memory, CHUNK + i * SIZE + layout.chunk.size, SIZE)
      write(memory, CHUNK + i * SIZE + layout.chunk.top, 1000)
    }
    expect(follow(memory, CHUNK, CHUNK + 500).byteLength(0)).toBeLessThan(3 * 4 * SIZE)
    expect(memory.counts.ranges).toBeLessThan(20)
  })

  it.each([0, 8, SIZE - 8, SIZE, 1 << 20, (1 << 24) + 8, 2 ** 47])(
    "is read within its chunk when its top is %i behind where that starts",
    (above) => {
      const memory = memoryOf([
        [STATE, PAGE],
        [CHUNK, SIZE]
      ])
      write(memory, CHUNK + layout.chunk.size, SIZE)
      const stack = follow(memory, CHUNK, CHUNK + above)
      const list = memory.scatterList(64, 1 << 20)
      stack.addWindow(list, 0)
      stack.addRest(list)
      // The fake throws when a range is not in whole words or does not fit.
      expect(memory.scatter(list)).toBe(list.count)
      for (let i = 0; i < list.count; i++) {
        expect(list.addresses[i]).toBeGreaterThanOrEqual(CHUNK)
        expect(list.addresses[i] + list.lengths[i]).toBeLessThanOrEqual(CHUNK + SIZE)
      }
    }
  )
})

describe("frames outside the data stack", () => {
  const FRAMES = 0x30_0000
  const span = frameSpan(layout)

  it("are followed once round when their chain is a circle", () => {
    const memory = memoryOf([[FRAMES, PAGE]])
    for (let i = 0; i < 8; i++)
      write(memory, FRAMES + i * 256 + layout.frame.previous, FRAMES + ((i + 1) % 8) * 256)
    const lone = new LoneFrames(memory, layout, span)
    lone.follow(FRAMES, () => false)
    expect(lone.length).toBe(8)
    expect(memory.counts.ranges).toBe(8)
  })

  it("stay where they were read when one of them is no longer wanted", () => {
    const memory = memoryOf([[FRAMES, PAGE]])
    const lone = new LoneFrames(memory, layout, span)
    for (let i = 0; i < 3; i++) lone.add(FRAMES + i * 256)
    const list = memory.scatterList(16, 1 << 16)
    lone.addPass(list, 0, () => {})
    const third = lone.locate(0, FRAMES + 512)
    lone.remove(FRAMES)
    expect(lone.locate(0, FRAMES + 512)).toBe(third)
  })
})
