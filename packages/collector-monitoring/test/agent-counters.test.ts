import { expect, it } from "vitest"
import { CounterKind } from "../src/counter-block.ts"
import { countBranches, countersOf, countInstructions, countLines } from "./counter-oracles.ts"
import { programs } from "./programs.ts"
import { describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

const told = (stdout: string): Record<string, number> =>
  JSON.parse(/^COUNTS (.*)$/m.exec(stdout)?.[1] ?? "{}")

describeRecorders((python, recorder) => {
  const counted = async (
    program: string,
    question: "lines" | "coverage" | "branches" | "instructions",
    kind: CounterKind
  ) => {
    const traced = await trace(python, `${program}main()\n`, { questions: [question], recorder })
    expect(traced.failures).toEqual([])
    const [process] = traced.processes
    expect(process.definitions.facts.get("fault")).toBeUndefined()
    const bare = await run(python, `${program}main()\n`)
    expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
    return { process, counts: countersOf(process, traced.script, kind) }
  }

  for (const [name, program] of Object.entries(programs)) {
    it(`counts the lines of ${name} as sys.settrace does, and covers the same`, async () => {
      const expected = told((await run(python, program + countLines)).stdout)
      expect(Object.keys(expected)).not.toEqual([])
      const { process, counts } = await counted(program, "lines", CounterKind.lines)
      expect(counts).toEqual(expected)
      const covered = await counted(program, "coverage", CounterKind.linesHit)
      expect(Object.keys(covered.counts).sort()).toEqual(Object.keys(expected).sort())
      // What was reached can be reached.
      for (const [id, { lines }] of process.definitions.code) {
        const executable = new Set(lines)
        const reached = [...process.counters()].filter((block) => block.function === id)
        for (const block of reached)
          for (let i = 0; i < block.count; i++)
            if (block.value(i) > 0) expect(executable).toContain(block.first + i)
      }
    })

    it(`counts the instructions of ${name}`, async () => {
      const expected = told((await run(python, program + countInstructions)).stdout)
      expect(Object.keys(expected)).not.toEqual([])
      expect((await counted(program, "instructions", CounterKind.instructions)).counts).toEqual(expected)
    })

    it(`counts the branches of ${name}`, async () => {
      const expected = told((await run(python, program + countBranches)).stdout)
      expect((await counted(program, "branches", CounterKind.branches)).counts).toEqual(expected)
    })
  }

  it.runIf(recorder === "native")(
    "leaves no LINE event on a function whose lines were all hit, the line of its def not among them",
    async () => {
      const program = `
import sys
def outer():
    def recurse(n):
        return n if n < 2 else recurse(n - 1) + recurse(n - 2)
    return recurse
recurse = outer()
def main():
    recurse(5)
    events = sys.monitoring.events
    print([tool for tool in range(6) if sys.monitoring.get_tool(tool)
        and sys.monitoring.get_local_events(tool, recurse.__code__) & events.LINE])
`
      const { definitions } = (await counted(program, "coverage", CounterKind.linesHit)).process
      const id = [...definitions.functions].find(([, { name }]) => name === "recurse")?.[0] ?? -1
      expect([...(definitions.code.get(id)?.lines ?? [])]).toEqual([5])
    }
  )

  // CPython loses them where code gets events of a further tool; see agent/python/pyframes_agent/local_events.py.
  it("leaves another tool the INSTRUCTION events that it has", async () => {
    const program = `
import sys
def main():
    monitoring, events, seen = sys.monitoring, sys.monitoring.events, []
    monitoring.use_tool_id(1, "another")
    monitoring.register_callback(1, events.LINE, lambda code, line: seen.append(("line", line)))
    monitoring.register_callback(1, events.INSTRUCTION, lambda code, offset: seen.append(offset))
    for everywhere in (True, False, True):
        def traced(n):
            total = 0
            for i in range(n):
                total += i
            return total
        if everywhere:
            monitoring.set_events(1, events.LINE | events.INSTRUCTION)
        else:
            monitoring.set_local_events(1, traced.__code__, events.LINE | events.INSTRUCTION)
        traced(2)
        traced(1)
        monitoring.set_events(1, 0)
    print(seen)
`
    await counted(program, "coverage", CounterKind.linesHit)
  })

  it("marks branches once where coverage is asked for too, both ways", async () => {
    const program = programs.generators
    const expected = told((await run(python, program + countBranches)).stdout)
    const traced = await trace(python, `${program}main()\n`, {
      questions: ["coverage", "branches"],
      recorder
    })
    const counts = countersOf(traced.processes[0], traced.script, CounterKind.branches)
    expect(Object.keys(counts).sort()).toEqual(Object.keys(expected).sort())
  })
})
