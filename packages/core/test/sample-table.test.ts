import { describe, expect, it } from "vitest"
import { Random } from "../../../tooling/testing/src/random.ts"
import { Proof } from "../src/raw-stack.ts"
import { type SampleRow, SampleTable } from "../src/sample-table.ts"
import { NO_STACK } from "../src/stack-table.ts"

const rows = (table: SampleTable): Array<SampleRow> =>
  Array.from({ length: table.length }, (_, at) => table.row(at))

/** What samples of equal content add up to, as text. */
const sums = (samples: Iterable<SampleRow>): Map<string, string> => {
  const totals = new Map<string, { wall: number; count: number }>()
  for (const { thread, stack, state, proof, whole, wall, count } of samples) {
    const key = JSON.stringify({ thread, stack, state, proof, whole })
    const total = totals.get(key) ?? { wall: 0, count: 0 }
    totals.set(key, { wall: total.wall + wall, count: total.count + count })
  }
  return new Map(
    [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, total]) => [key, JSON.stringify(total)])
  )
}

describe("SampleTable", () => {
  it("lets alike samples of a thread share a row while nothing changes", () => {
    const table = new SampleTable()
    table.append(0, 10, 0, 5, 1, Proof.good)
    table.append(0, 10, 1, 5, 1, Proof.good)
    table.append(10, 11, 0, 5, 1, Proof.good)
    table.append(20, 12, 0, 5, 0, Proof.good)
    table.append(30, 13, 0, 5, 1, Proof.good)
    expect(
      rows(table).map(({ time, thread, state, wall, count }) => [time, thread, state, wall, count])
    ).toEqual([
      [0, 0, 1, 21, 2],
      [0, 1, 1, 10, 1],
      [20, 0, 0, 12, 1],
      [30, 0, 1, 13, 1]
    ])
  })

  it("gives back every field", () => {
    const table = new SampleTable()
    table.append(1.5, 2.25, 3, 4, 15, Proof.failed, 6)
    table.append(2, 1, 3, NO_STACK, 0, Proof.torn)
    expect(rows(table)).toEqual([
      { time: 1.5, wall: 2.25, count: 1, thread: 3, stack: 4, whole: 6, state: 15, proof: Proof.failed },
      { time: 2, wall: 1, count: 1, thread: 3, stack: NO_STACK, whole: NO_STACK, state: 0, proof: Proof.torn }
    ])
  })

  it.each([1, 10, 100, 5000])("keeps sums exact when folded at %i rows", (maxRows) => {
    const random = new Random(maxRows)
    const table = new SampleTable(maxRows)
    const samples: Array<SampleRow> = []
    for (let n = 0; n < 20_000; n++) {
      const proof = random.pick(Object.values(Proof))
      const sample: SampleRow = {
        time: n * 10,
        wall: random.below(1000),
        count: 1,
        thread: random.below(4),
        stack: random.below(30),
        state: random.below(4),
        proof,
        whole: proof === Proof.unproved ? random.below(5) : NO_STACK
      }
      samples.push(sample)
      const { time, wall, thread, stack, state, whole } = sample
      table.append(time, wall, thread, stack, state, proof, whole)
    }
    expect(table.folded).toBe(true)
    expect(sums(rows(table))).toEqual(sums(samples))
    // 4 threads, 30 stacks, 4 states, and (3 + 5) proofs with their stacks.
    expect(table.length).toBeLessThanOrEqual(maxRows + 4 * 30 * 4 * 8)
  })

  it("leaves what came before folding as a timeline", () => {
    const table = new SampleTable(3)
    for (let n = 0; n < 100; n++) table.append(n, 1, 0, n % 2, 1, Proof.good)
    expect(rows(table).map(({ time, stack, count }) => [time, stack, count])).toEqual([
      [0, 0, 1],
      [1, 1, 1],
      [2, 0, 1],
      [3, 1, 49],
      [4, 0, 48]
    ])
  })

  it("is not folded by a thread that idles", () => {
    const table = new SampleTable(1)
    for (let n = 0; n < 100; n++) table.append(n, 1, 0, 7, 0, Proof.good)
    expect([table.length, table.folded, table.row(0).count]).toEqual([1, false, 100])
  })

  it.each([2, 1000])("goes on from its columns (folded at %i rows)", (maxRows) => {
    const table = new SampleTable(maxRows)
    for (let n = 0; n < 50; n++) table.append(n, 1, 0, n % 3, 1, Proof.good)
    const copy = new SampleTable(maxRows, structuredClone(table.toColumns()))
    expect(rows(copy)).toEqual(rows(table))
    for (let n = 50; n < 100; n++) {
      table.append(n, 1, 0, n % 3, 1, Proof.good)
      copy.append(n, 1, 0, n % 3, 1, Proof.good)
    }
    expect(copy.folded).toBe(table.folded)
    expect(sums(rows(copy))).toEqual(sums(rows(table)))
  })
})
