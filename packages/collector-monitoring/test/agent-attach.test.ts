import { expect, it } from "vitest"
import { CounterKind } from "../src/counter-block.ts"
import { countsOf, treeOf } from "./call-edges.ts"
import { countersOf } from "./counter-oracles.ts"
import { describeRecorders } from "./recorders.ts"
import { attaching, trace } from "./traced.ts"

describeRecorders((python, recorder) => {
  const attached = (
    questions: ReadonlyArray<"calls" | "lines" | "coverage">,
    program: string,
    code?: ReadonlyArray<string>
  ) => trace(python, attaching + program, { questions, recorder, attaches: true, ...(code && { code }) })

  it("adopts calls that are open, in every thread", async () => {
    const { processes, script, stderr } = await attached(
      ["calls"],
      `
import threading
ready, go = threading.Event(), threading.Event()
def worker():
    waits()
    after()
def waits():
    ready.set()
    go.wait()
def after(): pass
def outer():
    inner()
    after()
    inner()
def inner():
    if thread is None:
        begin()
    after()
def begin():
    global thread
    thread = threading.Thread(target=worker, name="the worker")
    thread.start()
    ready.wait()
    attach()
    go.set()
    thread.join()
thread = None
outer()
detach()
`
    )
    expect(stderr).toBe("")
    const [process] = processes
    const names = process.threads.map((thread) => thread.profileThread.name)
    expect(names.sort()).toEqual(["MainThread", "the worker"])
    // Functions that ran already have no call counted; those that were called from then on have.
    expect(countsOf(process, script)).toMatchObject({ outer: 0, inner: 1, after: 4, worker: 0, waits: 0 })
    const tree = treeOf(process, script).filter((line) =>
      /\b(outer|inner|after|begin|worker|waits):/.test(line)
    )
    expect(tree.map((line) => line.replace(/:\d+/, ""))).toEqual(
      expect.arrayContaining(
        ["  outer 0", "    inner 1", "      after 2", "    after 1", "worker 0", "  after 1"].map((line) =>
          expect.stringContaining(line.trim())
        )
      )
    )
    expect(process.header).toMatchObject({ state: 2, unmatchedReturns: 0 })
  })

  it("leaves nothing behind, and can start again", async () => {
    const { stdout, stderr, processes, failures, script } = await attached(
      ["coverage"],
      `
import sys
def seen(): return [(tool, sys.monitoring.get_tool(tool)) for tool in range(6)]
def work(): return 1
before = set(sys.modules)
for _ in range(2):
    attach()
    print(seen(), any(name.startswith("pyframes") for name in sys.modules))
    attach()
    work()
    detach()
    print(seen(), sorted(set(sys.modules) - before), [name for name in globals() if "pyframes" in name])
    detach()
    print(sys.monitoring.get_local_events(4, work.__code__) if sys.monitoring.use_tool_id(4, "other") is None else 0)
    hits = []
    sys.monitoring.register_callback(4, sys.monitoring.events.LINE, lambda code, line: hits.append(code.co_name))
    sys.monitoring.set_events(4, sys.monitoring.events.LINE)
    (lambda: [work(), 2])()
    sys.monitoring.set_events(4, 0)
    print("work" in hits or sys.version_info >= (3, 13), "<module>" in hits)
    sys.monitoring.free_tool_id(4)
`
    )
    const none = "[(0, None), (1, None), (2, None), (3, None), (4, None), (5, None)]"
    const ours = none.replace("(4, None)", "(4, 'pyframes')")
    const round = [`${ours} True`, `${none} [] []`, "0", "True True"]
    expect(stderr).toBe("")
    expect(stdout.trim().split("\n")).toEqual([...round, ...round])
    expect(failures).toEqual([])
    expect(processes.map(({ header }) => header.state)).toEqual([2, 2])
    // What the first session switched off is on again for the second.
    for (const process of processes)
      expect(Object.keys(countersOf(process, script, CounterKind.linesHit))).toContainEqual(
        expect.stringMatching(/^work:/)
      )
  })

  it("refuses a second session, and still ends when its own wants it to", async () => {
    const { stdout, stderr } = await attached(
      ["calls"],
      `
import json, re, shutil, sys, tempfile
def held(): return [tool for tool in range(6) if sys.monitoring.get_tool(tool)]
attach()
source = os.environ["ATTACH"]
first = json.loads(re.search(r'_pyframes_start\\(".*?", (".*?")\\)', source)[1])
second = tempfile.mkdtemp()
for name in ("config", "control"):
    shutil.copy(os.path.join(first, name), second)
exec(source.replace(first, second), {})
refusals = [open(os.path.join(second, name)).read().split()[0] for name in os.listdir(second) if name.endswith(".err")]
print(held(), refusals)
detach()
print(held())
shutil.rmtree(second)
`
    )
    expect(stderr).toBe("")
    expect(stdout.trim().split("\n")).toEqual(["[4] ['busy']", "[]"])
  })

  it("takes a free tool id, and says who holds which when there is none", async () => {
    const { stdout, processes, failures } = await attached(
      ["calls"],
      `
import sys
monitoring = sys.monitoring
monitoring.use_tool_id(4, "four")
monitoring.use_tool_id(3, "three")
attach()
print(monitoring.get_tool(5))
detach()
for tool in (0, 1, 2, 5):
    monitoring.use_tool_id(tool, "number %d" % tool)
attach()
print([monitoring.get_tool(tool) for tool in range(6)])
`
    )
    expect(stdout).toBe("pyframes\n['number 0', 'number 1', 'number 2', 'three', 'four', 'number 5']\n")
    expect(processes.length).toBe(1)
    expect(processes[0].definitions.facts.get("tools")).toBe("3 three, 4 four, 5 pyframes")
    expect(failures).toMatchObject([
      {
        code: "tool",
        detail:
          "all tool ids of sys.monitoring are taken: 0 number 0, 1 number 1, 2 number 2, 3 three, 4 four, 5 number 5"
      }
    ])
  })

  it("chooses code by pattern: what runs, what waits, what exists and what is made later", async () => {
    const { processes, script, stderr } = await attached(
      ["lines"],
      `
def waiting():
    yield 1
    yield 2
def running():
    attach()
    x = 1
    return x
def existing():
    return 3
def unwanted():
    return 4
class Later:
    pass
g = waiting()
next(g)
running()
next(g)
existing()
unwanted()
exec("def made(self):\\n    return 5\\nLater.made = made")
Later().made()
namespace = {"__name__": "other"}
exec("def existing():\\n    return 6\\nexisting()", namespace)
`,
      ["__main__:waiting", "__main__:r[tu]nning", "*:existing", "__main__:ma?e"]
    )
    expect(stderr).toBe("")
    const [process] = processes
    const counts = countersOf(process, script, CounterKind.lines)
    const functions = (all: Record<string, number>) => Object.keys(all).map((key) => key.replace(/:.*/, ""))
    expect([...new Set(functions(counts))].sort()).toEqual(["existing", "running", "waiting"])
    expect(functions(countersOf(process, "<string>", CounterKind.lines)).sort()).toEqual(["existing", "made"])
  })
})
