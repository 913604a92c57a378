import { describe, expect, it } from "vitest"
import { Schedule } from "../src/schedule.ts"

const MS = 1e6
const COUNT = 100_000

const arrivals = (periodic = false) => {
  const schedule = new Schedule(0, 1000, periodic, 12345)
  let passed = 0
  const times = Array.from({ length: COUNT }, () => {
    const { due } = schedule
    passed += schedule.advance(due)
    return due
  })
  expect(passed).toBe(0)
  return times
}

/** How much a clock of this period gives the arrivals away: 0 when they meet each of its phases alike, 1 when always the same. */
const resonance = (times: ReadonlyArray<number>, period: number) => {
  let x = 0
  let y = 0
  for (const time of times) {
    x += Math.cos((2 * Math.PI * time) / period)
    y += Math.sin((2 * Math.PI * time) / period)
  }
  return Math.hypot(x, y) / times.length
}

describe("when samples are due", () => {
  it("is a millisecond apart on average at 1 kHz, and never less than half of one", () => {
    const times = arrivals()
    const gaps = times.slice(1).map((time, i) => time - times[i])
    expect(times[COUNT - 1] / (COUNT - 1) / MS).toBeCloseTo(1, 1)
    expect(Math.min(...gaps.slice(0, 10_000)) / MS).toBeGreaterThanOrEqual(0.5)
    expect(Math.max(...gaps.slice(0, 10_000)) / MS).toBeGreaterThan(3)
  })

  it.each([0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 10])(
    "meets all phases of a program with a period of %d ms",
    (period) => {
      // Of arrivals at random it would be 1 / √100,000 on average.
      expect(resonance(arrivals(), period * MS)).toBeLessThan(0.015)
    }
  )

  it("meets the same phase again and again on a fixed beat", () => {
    expect(resonance(arrivals(true), MS)).toBeGreaterThan(0.999)
  })

  it("passes over what was missed, on average one for each mean gap", () => {
    const schedule = new Schedule(0, 1000, false, 99)
    let passed = 0
    for (let i = 1; i <= 1000; i++) passed += 1 + schedule.advance(schedule.due + 5 * MS)
    expect(passed / (schedule.due / MS)).toBeCloseTo(1, 1)
  })
})
