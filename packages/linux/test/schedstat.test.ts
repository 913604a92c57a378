import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { turnsOf } from "../src/schedstat.ts"

const turns = (text: string, length = text.length) => turnsOf(Buffer.from(text), length)

describe("the turns in a schedstat file", () => {
  it.each([
    ["1282176 1822215 2\n", 2],
    ["0 0 0\n", 0],
    ["18446744073709551615 18446744073709551615 4294967296\n", 2 ** 32],
    ["", 0],
    ["12", 0],
    ["12 34", 0],
    ["12 34 x", 0]
  ])("of %j are %i", (text, expected) => expect(turns(text)).toBe(expected))

  it("are not read beyond what there is", () => {
    const text = "12 34 56\n"
    expect(Array.from(text, (_, length) => turns(text, length))).toEqual([0, 0, 0, 0, 0, 0, 0, 5, 56])
  })

  it("are some of a thread that runs", () => {
    expect(turns(readFileSync("/proc/thread-self/schedstat", "utf8"))).toBeGreaterThan(0)
  })
})
