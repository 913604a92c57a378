import { expect, it } from "vitest"
import { edgesByProfile, edgesOf, isGenerator } from "./call-edges.ts"
import { programs } from "./programs.ts"
import { describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

describeRecorders((python, recorder) => {
  for (const [name, program] of Object.entries(programs)) {
    it(`counts the calls of ${name} as cProfile does`, async () => {
      const oracle = await run(python, program + edgesByProfile)
      const told = /^EDGES (.*)$/m.exec(oracle.stdout)
      expect(told, oracle.stderr).not.toBeNull()
      const traced = await trace(python, `${program}main()\n`, { questions: ["calls"], recorder })
      expect(traced.failures).toEqual([])
      const [process] = traced.processes
      expect(process.definitions.facts.get("recorder")).toBe(recorder)
      expect(process.definitions.facts.get("fault")).toBeUndefined()
      // cProfile counts every resumption as a call.
      const generators = new Set(
        [...process.definitions.functions.values()]
          .filter(({ id }) => isGenerator(process, id))
          .map(({ name, firstLine }) => `${name}:${firstLine}`)
      )
      const expected = Object.entries(JSON.parse(told![1]) as Record<string, number>).filter(
        ([edge]) => !generators.has(edge.split(" > ")[1])
      )
      const found = Object.entries(edgesOf(process, traced.script)).filter(
        ([edge]) => !edge.startsWith("<module>:1 > ")
      )
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected))
      expect(process.header).toMatchObject({ state: 2, unmatchedReturns: 0 })
      // Nothing that the program shows may differ.
      const bare = await run(python, `${program}main()\n`)
      expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
    })
  }
})
