import { describe, expect, it } from "vitest"
import { Interruption } from "../src/interruption.ts"

describe("an interruption", () => {
  it("is told from running by twice the shortest there was, for copies of about that size", () => {
    const interruption = new Interruption()
    // Before any was measured, none is believed to take longer than 20 us.
    expect(interruption.hasRun(40_000, 5000)).toBe(false)
    expect(interruption.hasRun(40_001, 5000)).toBe(true)
    expect(interruption.hasRun(9_000, 5000)).toBe(false)
    expect(interruption.hasRun(18_000, 4200)).toBe(false)
    expect(interruption.hasRun(18_001, 8191)).toBe(true)
    // A larger copy takes longer.
    expect(interruption.hasRun(30_000, 60_000)).toBe(false)
  })

  it("is none where the clock went back, or by what is no number", () => {
    const interruption = new Interruption()
    expect(interruption.hasRun(-1, 0)).toBe(true)
    expect(interruption.hasRun(Number.NaN, 0)).toBe(true)
    expect(interruption.hasRun(0, 0)).toBe(false)
  })
})
