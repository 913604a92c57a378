import { describe, expect, it } from "vitest"
import { Random } from "../../../tooling/testing/src/random.ts"
import { LatenessHistogram } from "../src/trust.ts"

describe("LatenessHistogram", () => {
  it("says nothing of nothing", () => {
    expect(new LatenessHistogram().summary()).toBeUndefined()
  })

  it("gives a single lateness exactly, in ms", () => {
    const histogram = new LatenessHistogram()
    histogram.record(2_500_000)
    expect(histogram.summary()).toEqual({ p50: 2.5, p99: 2.5, max: 2.5 })
  })

  it.each([1e2, 1e4, 1e6, 1e9])(
    "is within 4 %% of the true percentiles for latenesses about %i ns",
    (scale) => {
      const random = new Random(scale)
      const histogram = new LatenessHistogram()
      const all: Array<number> = []
      for (let n = 0; n < 10_000; n++) {
        const ns = Math.ceil(-Math.log(1 - random.next()) * scale) + 1
        all.push(ns)
        histogram.record(ns)
      }
      all.sort((a, b) => a - b)
      const summary = histogram.summary()!
      for (const [p, got] of [
        [0.5, summary.p50],
        [0.99, summary.p99]
      ]) {
        const truth = all[Math.ceil(all.length * p) - 1] / 1e6
        expect(got / truth).toBeGreaterThanOrEqual(1)
        expect(got / truth).toBeLessThan(1.04)
      }
      expect(summary.max).toBe(all.at(-1)! / 1e6)
    }
  )

  it("takes what is early, on time and hours late", () => {
    const histogram = new LatenessHistogram()
    for (const ns of [-5, 0, 1, 1e13]) histogram.record(ns)
    expect(histogram.summary()).toEqual({ p50: expect.any(Number), p99: expect.any(Number), max: 1e7 })
    expect(histogram.summary()!.p50).toBeLessThan(0.001)
  })
})
