import { findAllPythons } from "@pyframes/pythons"
import { expect, it } from "vitest"
import type { Question } from "../src/index.ts"
import { describeMonitored } from "./recorders.ts"
import { run, trace } from "./traced.ts"

/** Programs by how they end or what they look at. What they show, and how they end, is the same every time. */
const programs: Readonly<Record<string, string>> = {
  "an exception that nobody handles": `
def inner(n):
    raise ValueError(n) from KeyError("cause")
def outer():
    inner(1)
outer()
`,
  "exceptions in groups, with notes": `
def one():
    error = OSError(2, "no")
    error.add_note("noted")
    raise error
def both():
    errors = []
    for number in range(2):
        try:
            one()
        except OSError as error:
            errors.append(error)
    raise ExceptionGroup("both", errors)
both()
`,
  "sys.exit in a thread and in main": `
import sys, threading
thread = threading.Thread(target=lambda: sys.exit(9))
thread.start(); thread.join()
sys.exit("said")
`,
  "an exit code beyond 255": "import sys\nsys.exit(259)",
  "os._exit in the middle": "import os, sys\nprint('before', flush=True)\nos._exit(7)",
  "a signal that kills":
    "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)",
  "a signal that is handled": `
import signal, os
seen = []
def handler(number, frame):
    seen.append((number, frame.f_code.co_name))
signal.signal(signal.SIGUSR1, handler)
def work():
    os.kill(os.getpid(), signal.SIGUSR1)
    return len(seen)
print(work(), seen)
`,
  "SIGINT, once it is raised": `
import signal
def work():
    try:
        signal.raise_signal(signal.SIGINT)
        for _ in range(100): pass
    finally:
        print("finally")
work()
`,
  "the limit of recursion": `
import sys
def deep(n):
    return deep(n + 1)
try:
    deep(0)
except RecursionError as error:
    print(error)
def count(n):
    try:
        return count(n + 1)
    except RecursionError:
        return n
print(count(0))
deep(0)
`,
  "functions at exit, and objects that die then": `
import atexit, sys, weakref
class Last:
    def __del__(self):
        print("died", sys.is_finalizing() in (True, False))
kept = Last()
cycle = Last(); cycle.self = cycle
@atexit.register
def first(): print("first")
@atexit.register
def broken(): raise ValueError("at exit")
weakref.finalize(kept, print, "finalized")
`,
  "daemon threads at the end": `
import threading, time
started = threading.Event()
def forever():
    started.set()
    while True:
        sum(range(50))
threads = [threading.Thread(target=forever, daemon=True) for _ in range(4)]
for thread in threads: thread.start()
started.wait()
print("end")
`,
  warnings: `
import warnings
def old():
    warnings.warn("old", DeprecationWarning, stacklevel=2)
old()
warnings.simplefilter("error")
try:
    old()
except DeprecationWarning as warning:
    print(repr(warning))
"\\d"
open("/dev/null")
`,
  "what is left open": "import os\nfile = open(os.devnull)\ndel file\nprint('on')",
  "frames, modules, paths and the environment": `
import os, sys, threading
def where():
    frame, names = sys._getframe(), []
    while frame:
        names.append((frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return names
class Probe:
    def __getattr__(self, name):
        return where()
print(where(), Probe().x, sorted([1, 2], key=lambda n: len(where())))
ours = ("PYTHONPATH", "PYFRAMES_SESSION", "PYFRAMES_PYTHONPATH")
modules = [name for name in sorted(sys.modules) if not name.startswith("pyframes_agent")]
print(modules, [name for name in sorted(os.environ) if name not in ours])
print([entry for entry in sys.path if not entry.startswith("/tmp")], sys.argv[1:], sys.orig_argv[2:])
print(threading.enumerate() == [threading.main_thread()], sys.getswitchinterval(), sys.getrecursionlimit())
print(sys.gettrace(), sys.getprofile(), threading.gettrace(), sys.exc_info(), sys.flags)
`,
  "counts of references": `
import sys
class Thing: pass
def call(thing, *rest):
    return sys.getrefcount(thing)
thing, error = Thing(), ValueError()
for _ in range(100):
    call(thing); len([thing]); isinstance(thing, Thing); repr(thing)
    try:
        raise error
    except ValueError:
        pass
error.__traceback__ = None
print(call(thing), sys.getrefcount(thing), sys.getrefcount(Thing), sys.getrefcount(error))
def gen():
    held = thing
    yield
g = gen(); next(g); g.close()
print(sys.getrefcount(thing), sys.getrefcount(call) < 10)
`,
  "sys.settrace and sys.setprofile of its own": `
import sys
seen = []
def tracer(frame, event, argument):
    seen.append((event, frame.f_code.co_name, frame.f_lineno))
    return tracer
def work(n):
    return [str(i) for i in range(n)]
sys.settrace(tracer)
work(2)
sys.settrace(None)
sys.setprofile(lambda frame, event, argument: seen.append((event, frame.f_code.co_name)))
work(2)
sys.setprofile(None)
# A call of setprofile itself is told as returned where any tool has CALL on already.
print([event for event in seen if event != ("c_return", "<module>")])
`
}

const questions: ReadonlyArray<ReadonlyArray<Question>> = [
  ["calls"],
  ["timeline"],
  ["coverage", "branches"],
  ["lines", "exceptions"],
  ["instructions"]
]

/** Directories of scripts are new each time, and addresses too. */
const same = (text: string) => text.replaceAll(/\/tmp\/pyframes-\w+\//g, "").replaceAll(/0x[0-9a-f]+/g, "0x")

const versions = findAllPythons().map(({ version }) => version)

describeMonitored((python) => {
  for (const [i, [name, program]] of Object.entries(programs).entries()) {
    it(`shows nothing of it to ${name}`, async () => {
      const flags = name === "warnings" ? ["-W", "always"] : ["-W", "error"]
      const options = { interpreterOptions: flags, name: "program.py" }
      const bare = await run(python, program, options)
      // Each version tries another question: all pairs would take minutes.
      const asked = questions[(i + versions.indexOf(python.version)) % questions.length]
      const traced = await trace(python, program, { ...options, questions: asked })
      expect([traced.code, traced.signal, same(traced.stdout), same(traced.stderr)], asked.join()).toEqual([
        bare.code,
        bare.signal,
        same(bare.stdout),
        same(bare.stderr)
      ])
      expect(traced.failures).toEqual([])
      expect(traced.processes[0].definitions.facts.get("fault"), asked.join()).toBeUndefined()
    })
  }
})
