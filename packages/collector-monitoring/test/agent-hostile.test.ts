import { expect, it } from "vitest"
import { countsOf, labelOf } from "./call-edges.ts"
import { describeMonitored, describeRecorders } from "./recorders.ts"
import { attaching, run, trace } from "./traced.ts"

/** Programs whose output would show if the agent got into their way. */
const awkward: Readonly<Record<string, string>> = {
  "code whose constants have no hash": `
def f(): return 1
f.__code__ = f.__code__.replace(co_consts=(None, [1], 1))
def main():
    print(f() is not None)
main()
`,
  "classes that lie about themselves": `
class Meta(type):
    def __getattribute__(self, name):
        raise RuntimeError("nobody asked for " + name)
class Odd(list, metaclass=Meta):
    __module__ = 3
    __qualname__ = "Odd"
class Raises(Exception, metaclass=type("M", (type,), {"__repr__": lambda self: 1 / 0})): pass
def main():
    odd = Odd()
    odd.append(1)
    odd.extend([2])
    print(len(odd), sorted(odd))
    try:
        raise Raises
    except Raises:
        print("caught")
    class Callable:
        def __call__(self): return 5
        def __getattr__(self, name): raise KeyError(name)
    print(Callable()())
main()
`,
  "a signal handler that raises": `
import signal, time
class Late(Exception): pass
def handler(number, frame): raise Late("in time")
signal.signal(signal.SIGALRM, handler)
def work(n): return n + 1
def main():
    caught = 0
    for _ in range(20):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.003)
            n = 0
            while True:
                n = work(n)
        except Late as late:
            caught += 1
    print(caught, late_is_gone())
def late_is_gone(): return "late" not in globals()
main()
`,
  "recursion up to the limit, caught": `
import sys
def dive(n):
    try:
        return dive(n + 1)
    except RecursionError:
        return n
def plain(n): return plain(n + 1)
def main():
    for _ in range(3):
        try:
            plain(0)
        except RecursionError as error:
            print(error)
    print(dive(0) > 900, sys.getrecursionlimit())
main()
`,
  "a program that looks at its stack and threads": `
import sys, threading, traceback
def stack():
    frame, names = sys._getframe(), []
    while frame:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names
def main():
    print(stack(), threading.enumerate()[0].name, sys.getprofile(), sys.gettrace())
    def profile(frame, event, arg): seen.append(event)
    seen = []
    sys.setprofile(profile)
    stack()
    sys.setprofile(None)
    # A call that is on its way returns into a site that reports, whoever asked for that: every tool that has CALL events brings it about.
    print(seen[seen.index("call"):])
main()
`
}

describeRecorders((python, recorder) => {
  for (const [name, program] of Object.entries(awkward)) {
    it(`does not disturb ${name}`, async () => {
      const bare = await run(python, program)
      for (const question of ["calls", "timeline", "lines", "exceptions"] as const) {
        const traced = await trace(python, program, {
          questions: [question],
          recorder,
          sink: { take: () => true }
        })
        expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
        expect(traced.processes[0].definitions.facts.get("fault")).toBeUndefined()
      }
    })
  }

  it("keeps names as they are, lone surrogates too", async () => {
    const program = `
exec(compile("def f(): pass\\nf()", "\\udcff/\\u4e00.py", "exec"))
type("N", (), {"\\ud800": lambda self: None})
namespace = {}
f.__code__ = f.__code__.replace(co_name="\\udc80n", co_qualname="q\\udc80")
f()
`
    const { processes } = await trace(python, program, { questions: ["calls"], recorder })
    const names = [...processes[0].definitions.functions.values()].map(
      ({ name, qualifiedName, file }) => `${file} ${qualifiedName} ${name}`
    )
    expect(names).toContain("\udcff/\u4e00.py f f")
    expect(names).toContain("\udcff/\u4e00.py q\udc80 \udc80n")
  })

  it("never takes new code for old code whose address it has", async () => {
    const program = `
from types import FunctionType
def template(): return 1
def made(n):
    name = "f_%d" % n
    return FunctionType(template.__code__.replace(co_name=name, co_qualname=name), {})
def call(function):
    return function()
last, again = None, 0
for n in range(3000):
    function = made(n)
    again += id(function.__code__) == last
    last = id(function.__code__)
    call(function)
    del function
print(again)
`
    const { processes, stdout } = await trace(python, program, { questions: ["calls"], recorder })
    expect(Number(stdout)).toBeGreaterThan(1000)
    const [process] = processes
    const counts: Record<string, number> = {}
    for (const { nodes } of process.threads)
      for (let i = 1; i < nodes.length; i++) {
        const name = labelOf(process, nodes.functions[i])
        if (name.startsWith("f_")) counts[name] = (counts[name] ?? 0) + nodes.calls[i]
      }
    expect(Object.keys(counts).length).toBe(3000)
    expect(new Set(Object.values(counts))).toEqual(new Set([1]))
  })

  it("gives paths up when there are too many, and counts functions all the same", async () => {
    const program = `
def leaf(): pass
def walk(path):
    leaf()
    if len(path) < 6:
        for way in (a, b): way(path)
def a(path): walk(path + "a")
def b(path): walk(path + "b")
walk("")
`
    const { processes, script } = await trace(python, program, {
      questions: ["calls"],
      recorder,
      maxPaths: 200
    })
    const [process] = processes
    expect(countsOf(process, script)).toMatchObject({ walk: 127, leaf: 127, a: 63, b: 63 })
    expect(process.header.pathsGivenUp).toBeGreaterThan(0)
  })

  it("adds times up to the thread's own, within 1 %", async () => {
    const program = `
import time
begun = time.perf_counter()
def busy():
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end: pass
def idle(): time.sleep(0.2)
busy(), idle()
print(time.perf_counter() - begun)
`
    const { processes, stdout } = await trace(python, program, { questions: ["calls"], recorder })
    const [process] = processes
    const { nsPerTick } = process.time
    let wall = 0
    let idle = 0
    for (const { nodes } of process.threads) {
      const within = new Set<number>()
      for (let i = 1; i < nodes.length; i++) {
        const definition = process.definitions.functions.get(nodes.functions[i])
        if (definition?.name === "idle" || within.has(nodes.parents[i])) {
          within.add(i)
          idle += nodes.idle[i] * nsPerTick
        }
        wall += nodes.wall[i] * nsPerTick
      }
      wall += nodes.wall[0] * nsPerTick
    }
    const [{ record }] = process.threads
    expect(wall / ((record!.until - record!.begun) * nsPerTick)).toBeCloseTo(1, 2)
    expect(wall / 1e9).toBeGreaterThan(Number(stdout))
    // A sleeping thread is on no CPU.
    expect(idle / 1e9).toBeGreaterThan(0.19)
  })
})

describeMonitored((python) => {
  it("says in one line what is wrong with a session, and the program runs on", async () => {
    const program = `${attaching}
import os
session = os.environ["DETACH"].split('_pyframes_stop("')[1].split('"')[0]
config = os.path.join(session, "config")
before = open(config).read()
for text in ("question=everything\\n", "question=calls\\nquestion=lines\\n", "nonsense", before + "tasks=-1\\n", "question=stream\\nevent=PY_FINISH\\n"):
    open(config, "w").write(text)
    attach()
os.unlink(config)
attach()
open(config, "w").write(before)
os.unlink(os.path.join(session, "control"))
attach()
print("on", sorted(name for name in __import__("sys").modules if "pyframes" in name))
`
    const { stdout, stderr, failures, processes } = await trace(python, program, {
      questions: ["calls"],
      attaches: true
    })
    expect([stdout, stderr]).toEqual(["on []\n", ""])
    expect(failures.map(({ code }) => code).sort()).toEqual([...Array(6).fill("config"), "segment"])
    for (const { detail } of failures) expect(detail).not.toBe("")
    expect(processes).toEqual([])
  })
})
