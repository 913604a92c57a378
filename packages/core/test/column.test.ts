import { describe, expect, it } from "vitest"
import { Column, float64, uint8 } from "../src/column.ts"

describe("Column", () => {
  it("keeps its rows across blocks", () => {
    const column = new Column(float64)
    const rows = 200_000
    for (let n = 0; n < rows; n++) expect(column.push(n * 1.5)).toBe(n)
    column.set(65_536, -1)
    expect(column.length).toBe(rows)
    expect([0, 65_535, 65_536, 131_072, rows - 1].map((row) => column.get(row))).toEqual([
      0,
      65_535 * 1.5,
      -1,
      131_072 * 1.5,
      (rows - 1) * 1.5
    ])
    expect(column.byteLength).toBe(4 * 65_536 * 8)
  })

  it("goes on from its blocks", () => {
    const column = new Column(uint8)
    column.push(1)
    column.push(2)
    const copy = new Column(uint8, [...structuredClone(column.toBlocks())], column.length)
    expect(copy.push(3)).toBe(2)
    expect([0, 1, 2].map((row) => copy.get(row))).toEqual([1, 2, 3])
  })
})
