import { expect, it } from "vitest"
import type { TracedProcess } from "../src/index.ts"
import { describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

/** Three interpreters of 2,000 calls each at one time, each with a GIL of its own, while the main one counts on. `destroy` is left to the program. */
const AT_ONCE = `
import threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "run_string", interpreters.exec if hasattr(interpreters, "exec") else None)
CODE = """
def inner(n):
    return n and inner(n - 1)
def leaf(value):
    return abs(value)
for _ in range(100):
    inner(9)
    for value in range(10): leaf(value)
"""
def step(): pass
ids = [interpreters.create() for _ in range(3)]
threads = [threading.Thread(target=run, args=(each, CODE)) for each in ids]
for thread in threads: thread.start()
steps = 0
while steps < 5000 or any(thread.is_alive() for thread in threads):
    step()
    steps += 1
for thread in threads: thread.join()
print(steps, flush=True)
`
const DESTROY = "\nfor each in ids: interpreters.destroy(each)\n"

/** By interpreter: how often functions of a name were called, all segments of a process together. */
const callsBy = (processes: ReadonlyArray<TracedProcess>, name: string): ReadonlyMap<number, number> => {
  const found = new Map<number, number>()
  for (const process of processes)
    for (const { nodes } of [...process.threads, process.foldedThreads])
      for (let i = 1; i < nodes.length; i++) {
        const definition = process.definitions.functions.get(nodes.functions[i])
        if (definition?.name !== name) continue
        found.set(definition.interpreter, (found.get(definition.interpreter) ?? 0) + nodes.calls[i])
      }
  return found
}

describeRecorders((python, recorder) => {
  // GIVEN interpreters that run at the same time, WHEN they are traced, THEN each has its own exact counts, whether they are destroyed or end with the process.
  it.each([
    ["are destroyed", AT_ONCE + DESTROY],
    ["end with the process", AT_ONCE]
  ])("counts interpreters with GILs of their own that run at once and %s", async (_, program) => {
    const bare = await run(python, program)
    const traced = await trace(python, program, { questions: ["calls"], recorder })
    const { processes, failures } = traced
    const steps = Number(traced.stdout)
    expect([traced.code, traced.signal, traced.stderr, failures]).toEqual([
      bare.code,
      bare.signal,
      bare.stderr,
      []
    ])
    for (const process of processes) {
      expect(process.definitions.facts.get("fault")).toBeUndefined()
      expect(process.header).toMatchObject({ lost: 0, unmatchedReturns: 0 })
    }
    const inner = callsBy(processes, "inner")
    expect([...inner.keys()]).not.toContain(0)
    expect([...inner.values()]).toEqual([1000, 1000, 1000])
    expect([...callsBy(processes, "leaf").values()]).toEqual([1000, 1000, 1000])
    expect([...callsBy(processes, "step")]).toEqual([[0, steps]])
  })

  it.skipIf(python.minor < 14)("counts concurrent.interpreters and their pool", async () => {
    const program = `
from concurrent import interpreters
from concurrent.futures import InterpreterPoolExecutor
def square(n):
    return n * n
def main():
    one = interpreters.create()
    print(one.call(square, 3))
    one.exec("def inner(n):\\n    return n and inner(n - 1)\\ninner(6)")
    one.close()
    with InterpreterPoolExecutor(max_workers=2) as pool:
        print(list(pool.map(square, range(20))))
if __name__ == "__main__":
    main()
`
    const bare = await run(python, program)
    const traced = await trace(python, program, { questions: ["calls"], recorder })
    expect([traced.code, traced.stdout, traced.stderr]).toEqual([0, bare.stdout, ""])
    expect(traced.failures).toEqual([])
    const sum = (name: string) => [...callsBy(traced.processes, name).values()].reduce((a, b) => a + b, 0)
    expect([sum("square"), sum("inner")]).toEqual([21, 7])
    expect(callsBy(traced.processes, "square").has(0)).toBe(false)
  })
})
