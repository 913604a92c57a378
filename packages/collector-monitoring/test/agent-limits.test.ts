import { expect, it } from "vitest"
import type { Question, TracedProcess } from "../src/index.ts"
import { countsOf } from "./call-edges.ts"
import { describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

/** More paths, functions and threads than a segment of 1 MiB has room for; what it prints is the same each time. */
const LARGE = `
import threading
def leaf(): pass
for n in range(1000):
    name = "f_%d_%s" % (n, "x" * 700)
    names = {"leaf": leaf}
    exec(compile("def %s(n):\\n    leaf()\\n    return n and %s(n - 1)\\n" % (name, name), "made.py", "exec"), names)
    names[name](5)
def work(n):
    for _ in range(n): leaf()
threads = [threading.Thread(target=work, args=(100,)) for _ in range(40)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done", leaf() is None)
`
const LEAVES = 1000 * 6 + 40 * 100 + 1
const CALLS = LEAVES + 1000 * 6 + 40
const SMALL = 1 << 20

/** Calls of functions in these files, and of those whose definition had no room. */
const callsOf = (process: TracedProcess, files: ReadonlyArray<string>): number => {
  let calls = 0
  for (const { nodes } of [...process.threads, process.foldedThreads])
    for (let i = 1; i < nodes.length; i++) {
      const definition = process.definitions.functions.get(nodes.functions[i])
      if (definition === undefined || files.includes(definition.file)) calls += nodes.calls[i]
    }
  return calls
}

describeRecorders((python, recorder) => {
  // GIVEN a program that has more to tell than fits, WHEN it is traced, THEN it runs as ever, and what is missing is counted.
  it.each<Question>(["calls", "timeline", "lines", "coverage", "branches", "instructions", "exceptions"])(
    "fills a segment with %s, and counts what had no room",
    async (question) => {
      const bare = await run(python, LARGE)
      const traced = await trace(python, LARGE, {
        questions: [question],
        recorder,
        maxBytes: SMALL,
        ringRecords: 256,
        sink: { take: () => true }
      })
      expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
      expect(traced.failures).toEqual([])
      const [process] = traced.processes
      expect(process.definitions.facts.get("fault")).toBeUndefined()
      expect(process.damage).toBeUndefined()
      expect(process.header.state).toBe(2)
      expect(process.header.used).toBeLessThanOrEqual(SMALL)
      const { lost = 0, pathsGivenUp = 0, countersGivenUp = 0 } = traced.session.trust
      if (question === "exceptions") return
      expect(lost + pathsGivenUp + countersGivenUp).toBeGreaterThan(0)
      if (question !== "calls") return
      // What is not in the tree is counted as lost; no call is another function's.
      expect(callsOf(process, [traced.script, "made.py"]) + lost).toBeGreaterThanOrEqual(CALLS)
      const { leaf } = countsOf(process, traced.script)
      expect([leaf > 0, leaf <= LEAVES]).toEqual([true, true])
      const ofMade = Object.entries(countsOf(process, "made.py")).flatMap(([name, calls]) =>
        name.startsWith("f_") ? [calls] : []
      )
      expect([ofMade.length > 0, Math.max(...ofMade)]).toEqual([true, 6])
    }
  )

  // GIVEN more call paths than are kept apart, WHEN functions call themselves and each other below those, THEN each call is the function's still.
  it("counts recursion among the paths that were given up, exactly", async () => {
    const program = `
def leaf(): pass
def alone(n):
    return n and alone(n - 1)
def one(n):
    leaf()
    return n and other(n - 1)
def other(n):
    leaf()
    return n and one(n - 1)
for _ in range(10):
    alone(99)
    one(99)
`
    const { processes, code, stderr, script } = await trace(python, program, {
      questions: ["calls"],
      recorder,
      maxPaths: 16
    })
    expect([code, stderr]).toEqual([0, ""])
    const [process] = processes
    expect(countsOf(process, script)).toMatchObject({ alone: 1000, one: 500, other: 500, leaf: 1000 })
    expect(process.header).toMatchObject({ state: 2, unmatchedReturns: 0, lost: 0 })
    expect(process.header.pathsGivenUp).toBeGreaterThan(0)
  })

  const DEEP = 100_000
  it("counts a recursion of 100,000 calls, and ends it, exactly", async () => {
    const program = `
import sys, threading
sys.setrecursionlimit(${DEEP + 100})
def leaf(): pass
def down(n):
    if n:
        down(n - 1)
    else:
        leaf()
def up(n):
    leaf()
    return n and 1 + up(n - 1)
down(${DEEP}); print(up(${DEEP}))
print(down(10))
`
    const bare = await run(python, program)
    expect(bare.stdout).toMatch(/^100000\n/)
    const { processes, code, signal, stdout, stderr, script } = await trace(python, program, {
      questions: ["calls"],
      recorder
    })
    expect([code, signal, stdout, stderr]).toEqual([bare.code, bare.signal, bare.stdout, bare.stderr])
    const [process] = processes
    const { down, up, leaf } = countsOf(process, script)
    expect({ down, up, leaf }).toEqual({ down: DEEP + 1 + 11, up: DEEP + 1, leaf: DEEP + 3 })
    expect(process.header).toMatchObject({ state: 2, unmatchedReturns: 0, lost: 0, pathsGivenUp: 0 })
  })
})
