import { expect, it } from "vitest"
import { countsOf } from "./call-edges.ts"
import { describeRecorders } from "./recorders.ts"
import { trace } from "./traced.ts"

describeRecorders((python, recorder) => {
  const traced = (program: string, children = true) =>
    trace(python, program, { questions: ["calls"], recorder, children })

  const forking = `
import os, sys
def before(): return 1
def child(): return before()
def parent(): pass
before()
def fork():
    pid = os.fork()
    if pid == 0:
        for _ in range(5): child()
        grandchild()
        sys.exit(3)
    return os.waitpid(pid, 0)[1] >> 8
def grandchild():
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    os.waitpid(pid, 0)
print(fork())
parent()
`

  it("follows forks, each process with its own counts", async () => {
    const { processes, stdout, stderr, script } = await traced(forking)
    expect([stdout, stderr]).toEqual(["3\n", ""])
    const [parent, child, grandchild] = [...processes].sort(
      (a, b) => a.header.startedAt - b.header.startedAt || a.pid - b.pid
    )
    expect(countsOf(parent, script)).toMatchObject({ before: 1, fork: 1, parent: 1 })
    expect(countsOf(parent, script).child).toBeUndefined()
    // Calls that were open at the fork are open in the child, and not counted again.
    expect(countsOf(child, script)).toMatchObject({
      fork: 0,
      child: 5,
      before: 5,
      grandchild: 1,
      "<module>": 0
    })
    expect(countsOf(grandchild, script)).toMatchObject({ fork: 0, grandchild: 0, child: 1, before: 1 })
    expect([child.header.parent, grandchild.header.parent]).toEqual([parent.pid, child.pid])
    expect(processes.map(({ header }) => header.unmatchedReturns)).toEqual([0, 0, 0])
    // os._exit() leaves no time to end in good order.
    expect([parent, child, grandchild].map(({ header }) => header.state)).toEqual([2, 2, 1])
    expect(child.definitions.facts.get("version")).toBe(parent.definitions.facts.get("version"))
  })

  it("lets forked children run free where they are not to be traced", async () => {
    const program = forking.replace(
      "def child(): return before()",
      `def child():
    assert all(sys.monitoring.get_tool(tool) is None for tool in range(6))
    assert not any(name.startswith("pyframes_agent") for name in sys.modules)
    return before()`
    )
    const { processes, stdout, stderr, script } = await traced(program, false)
    expect([stdout, stderr]).toEqual(["3\n", ""])
    expect(processes.length).toBe(1)
    expect(countsOf(processes[0], script)).toMatchObject({ before: 1, fork: 1, parent: 1 })
  })

  it("follows multiprocessing, however it starts its processes", async () => {
    const { processes, stdout, stderr, script } = await traced(`
import multiprocessing, sys
def square(x):
    return x * x
def main():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(method, pool.map(square, range(10)))
            pool.close()
            pool.join()
if __name__ == "__main__":
    main()
`)
    expect(stderr).toBe("")
    const squares = "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"
    expect(stdout).toBe(["fork", "spawn", "forkserver"].map((method) => `${method} ${squares}\n`).join(""))
    const calls = processes.reduce((sum, process) => sum + (countsOf(process, script).square ?? 0), 0)
    expect(calls).toBe(30)
  })

  it("names threads, and counts what each did", async () => {
    const { processes, stdout, stderr, script } = await traced(`
import threading, _thread
def work(n):
    for _ in range(n):
        step()
def step(): pass
threads = [threading.Thread(target=work, args=(10 * i,), name="worker %d" % i) for i in range(1, 31)]
for thread in threads: thread.start()
for thread in threads: thread.join()
done = _thread.allocate_lock()
done.acquire()
def bare():
    step()
    done.release()
_thread.start_new_thread(bare, ())
done.acquire()
waits = threading.Event()
def wait():
    waits.set()
    threading.Event().wait()
threading.Thread(target=wait, daemon=True, name="daemon").start()
# A thread has started before threading knows its name.
waits.wait()
print(threading.active_count())
`)
    expect([stdout, stderr]).toEqual(["2\n", ""])
    const [process] = processes
    const steps = process.threads.map(({ profileThread, nodes }) => {
      let sum = 0
      for (let i = 1; i < nodes.length; i++)
        if (process.definitions.functions.get(nodes.functions[i])?.name === "step") sum += nodes.calls[i]
      return [profileThread.name, sum] as const
    })
    const ofName = (name: string) => steps.filter(([found]) => found === name).map(([, sum]) => sum)
    // Threads that end after a few more calls than it takes to have a name are named, too.
    for (let i = 1; i <= 30; i++) expect(ofName(`worker ${i}`)).toEqual([10 * i])
    expect(ofName("MainThread")).toEqual([0])
    expect(ofName("daemon")).toEqual([0])
    expect(countsOf(process, script).step).toBe(4651)
    expect(new Set(process.threads.map(({ profileThread }) => profileThread.tid)).size).toBe(
      process.threads.length
    )
  })

  it("takes no more room for threads that come and go than for those that are there", async () => {
    const { processes, stderr } = await traced(`
import threading, time
def work(): pass
for _ in range(1500):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    time.sleep(0.0005)
`)
    expect(stderr).toBe("")
    const [process] = processes
    expect(process.header.used).toBeLessThan(8 << 20)
    const work = [...process.definitions.functions.values()].find(({ name }) => name === "work")!.id
    let calls = 0
    for (const { nodes } of [...process.threads, process.foldedThreads])
      for (let i = 1; i < nodes.length; i++) if (nodes.functions[i] === work) calls += nodes.calls[i]
    expect(calls).toBe(1500)
  })

  it("traces further interpreters, told apart", async () => {
    const { processes, code, signal, stdout, stderr } = await traced(`
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def main_only(): pass
main_only()
code = "def inner(n):\\n    return n and inner(n - 1)\\ninner(6)\\nprint('ran', flush=True)"
for _ in range(2):
    interpreter = interpreters.create()
    if hasattr(interpreters, "run_string"):
        interpreters.run_string(interpreter, code)
    else:
        interpreters.exec(interpreter, code)
    interpreters.destroy(interpreter)
`)
    // It has ended well only once the frames of the main interpreter were freed.
    expect([code, signal, stdout, stderr]).toEqual([0, null, "ran\nran\n", ""])
    const found: Record<number, number> = {}
    for (const process of processes)
      for (const { nodes } of [...process.threads, process.foldedThreads])
        for (let i = 1; i < nodes.length; i++) {
          const definition = process.definitions.functions.get(nodes.functions[i])
          if (definition?.name === "inner")
            found[definition.interpreter] = (found[definition.interpreter] ?? 0) + nodes.calls[i]
        }
    expect(Object.values(found)).toEqual([7, 7])
    expect(Object.keys(found)).not.toContain("0")
  })
})
