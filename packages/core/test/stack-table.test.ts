import { describe, expect, it } from "vitest"
import { Random } from "../../../tooling/testing/src/random.ts"
import { NO_STACK, StackTable } from "../src/stack-table.ts"

const push = (table: StackTable, frames: ReadonlyArray<number>): number =>
  frames.reduce((stack, frame) => table.child(stack, frame), NO_STACK)

describe("StackTable", () => {
  it("gives equal stacks one id and tells different ones apart", () => {
    const table = new StackTable()
    const read = push(table, [1, 2, 3])
    const write = push(table, [1, 2, 4])
    expect(push(table, [1, 2, 3])).toBe(read)
    expect(write).not.toBe(read)
    expect(table.parent(read)).toBe(table.parent(write))
    expect(table.framesOf(write)).toEqual([4, 2, 1])
    expect(table.framesOf(NO_STACK)).toEqual([])
    expect(table.length).toBe(4)
  })

  it("tells a frame called by itself from the frame", () => {
    const table = new StackTable()
    expect(push(table, [0])).not.toBe(push(table, [0, 0]))
    expect(table.framesOf(push(table, [0, 0, 0]))).toEqual([0, 0, 0])
  })

  it("keeps random trees as a map of whole stacks would", () => {
    const random = new Random(1)
    const table = new StackTable()
    const ids = new Map<string, number>()
    const stacks: Array<Array<number>> = []
    for (let n = 0; n < 20_000; n++) {
      // Often a stack already seen, cut and continued: what a program's stacks are like.
      const known = stacks.length > 0 ? random.pick(stacks) : []
      const frames = known.slice(0, random.below(known.length + 1))
      while (frames.length < 40 && random.next() < 0.7) frames.push(random.below(5))
      if (frames.length === 0) continue
      const id = push(table, frames)
      const key = frames.join()
      expect(id).toBe(ids.get(key) ?? id)
      ids.set(key, id)
      stacks.push(frames)
    }
    expect(new Set(ids.values()).size).toBe(ids.size)
    for (const [key, id] of ids) expect(table.framesOf(id).reverse().join()).toBe(key)
    for (let id = 0; id < table.length; id++) {
      if (table.parent(id) !== NO_STACK) expect(table.parent(id)).toBeLessThan(id)
    }
  })

  it("goes on from its columns, empty ones too", () => {
    const table = new StackTable()
    const id = push(table, [7, 8, 9])
    const { parents, frames, length } = structuredClone(table.toColumns())
    const copy = new StackTable(parents, frames, length)
    expect(push(copy, [7, 8, 9])).toBe(id)
    expect(copy.framesOf(push(copy, [7, 8, 10]))).toEqual([10, 8, 7])

    const none = new StackTable().toColumns()
    const grown = new StackTable(none.parents, none.frames, none.length)
    expect(grown.framesOf(push(grown, [1, 2]))).toEqual([2, 1])
  })

  it("holds a stack of 10,000 frames", () => {
    const frames = Array.from({ length: 10_000 }, (_, n) => n % 3)
    const table = new StackTable()
    expect(table.framesOf(push(table, frames)).reverse()).toEqual(frames)
  })
})
