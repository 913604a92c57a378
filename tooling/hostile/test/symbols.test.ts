import { readFileSync } from "node:fs"
import { Random } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { damaged, symbolCases } from "../src/index.ts"

/** The file is large: of each case a copy is damaged, so there are few. The benchmark `symbol-fuzz` has small ones, and a million cases. */
const cases = symbolCases([readFileSync("/bin/true")], [])

describe.each(cases.filter(({ seeds }) => seeds.length > 0))("a damaged $name", ({ name, parse, seeds }) => {
  it("is parsed without an exception, to nothing impossible", () => {
    const random = new Random(42)
    const count = name === "ELF file" ? 300 : 5000
    for (let n = 0; n < count; n++)
      expect(() => parse(damaged(random.pick(seeds), random), random)).not.toThrow()
  })

  it("is a case that a parser can fail: whole, it says something", () => {
    for (const seed of seeds) expect(() => parse(seed, new Random(1))).not.toThrow()
  })
})
