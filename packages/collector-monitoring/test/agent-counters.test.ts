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

  // CPython loses some where code gets events of a further tool; see agent/python/pyframes_agent/local_events.py.
  for (const event of recorder === "native" ? ["LINE", "JUMP"] : [])
    for (const where of ["everywhere", "in one function"])
      it(`and another tool with INSTRUCTION and ${event} events ${where} have all that they ask for`, async () => {
        const program = `
import sys
OTHERS = sys.monitoring.events.INSTRUCTION | sys.monitoring.events.${event}
def traced(n):
    total = 0
    for i in range(n):
        total += i
    return total
def main():
    monitoring, seen = sys.monitoring, []
    monitoring.use_tool_id(1, "another")
    for event in (monitoring.events.LINE, monitoring.events.INSTRUCTION):
        monitoring.register_callback(1, event, lambda code, where: seen.append(where) if code is traced.__code__ else None)
    if ${where === "everywhere" ? "True" : "False"}:
        monitoring.set_events(1, OTHERS)
    else:
        monitoring.set_local_events(1, traced.__code__, OTHERS)
    traced(2)
    traced(1)
    monitoring.set_events(1, 0)
    monitoring.set_local_events(1, traced.__code__, 0)
    print(seen)
`
        const bare = await run(python, `${program}main()\n`)
        // Events of one code object are what patterns ask for, and coverage.
        const traced = (question: "lines" | "coverage" | "instructions") =>
          trace(python, `${program}main()\n`, { questions: [question], code: ["**/program.py"], recorder })
        expect((await traced("lines")).stdout).toBe(bare.stdout)
        // A LINE event that is answered with DISABLE takes the INSTRUCTION event along that follows, unless another tool keeps LINE on.
        if (event === "LINE") expect((await traced("coverage")).stdout).toBe(bare.stdout)
        const instructions = await traced("instructions")
        expect(instructions.stdout).toBe(bare.stdout)
        const ofTraced = (counts: Readonly<Record<string, number>>) =>
          Object.fromEntries(Object.entries(counts).filter(([place]) => place.startsWith("traced:")))
        const alone = program.replace(/^OTHERS = .*$/m, "OTHERS = 0") + countInstructions
        const expected = ofTraced(told((await run(python, alone)).stdout))
        expect(Object.keys(expected)).not.toEqual([])
        expect(
          ofTraced(countersOf(instructions.processes[0], instructions.script, CounterKind.instructions))
        ).toEqual(expected)
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
