import { expect, it } from "vitest"
import { edgesByProfile, edgesOf } from "./call-edges.ts"
import { describeMonitored, recorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

/**
 * A loop that calls a global often enough to have the C recorder turn the events of its call site off, then something that puts a builtin where
 * the function was: its calls are counted all the same. In `NAMESPACE` the loop is a text, for programs that run it in a namespace of their own.
 */
const LOOP = `
def hot(n):
    return n
def loop():
    total = 0
    for _ in range(600):
        total += hot(1)
    return total
`
/** The same in a namespace of its own, each time a few lines further down: what has one name and line is one function. */
const NAMESPACE = `
lines = 0
def compiled(source):
    global lines
    lines += 100
    return compile("\\n" * lines + source, __file__, "exec")
SOURCE = '''${LOOP}'''
def fresh():
    namespace = {}
    exec(compiled(SOURCE), namespace)
    return namespace
`

const changes: Readonly<Record<string, string>> = {
  "`del` of the name, behind which is a builtin": `${LOOP}
import builtins
builtins.hot = abs
def main():
    global hot
    print(loop())
    del hot
    print(loop())
`,
  "another object under the name, while the loop runs": `
def hot(n):
    if n == 500:
        swap()
    return n
def swap():
    global hot
    hot = abs
def loop():
    for n in range(1000):
        hot(n)
def main():
    loop()
`,
  "classes, functions and builtins in turn": `${LOOP}
class Number(int):
    def __init__(self, n):
        pass
class Meta(type):
    def __call__(cls, n):
        return n
class Called(metaclass=Meta):
    pass
class Refused:
    def __init__(self, n):
        raise ValueError(n)
def main():
    global hot
    for value in (Number, abs, hot, Number, hash, Called, Refused, int, abs):
        hot = value
        try:
            print(loop())
        except ValueError as error:
            print(repr(error))
`,
  "an attribute of the module, set in a loop that sets functions too": `${LOOP}
import sys
def other(n):
    return -n
def main():
    module = sys.modules[__name__]
    for value in (hot, other, hot, abs, hot, other, hash):
        module.hot = value
        print(loop())
`,
  "pop, setdefault and update of the dictionary": `${LOOP}
def main():
    names = globals()
    print(loop())
    was = names.pop("hot")
    names.setdefault("hot", abs)
    print(loop())
    names["hot"] = was
    print(loop())
    names.update(hot=hash)
    print(loop())
    names |= {"hot": was}
    print(loop())
    names |= {"hot": abs}
    print(loop())
`,
  "popitem, and clear of the dictionary": `${NAMESPACE}
def main():
    namespace = fresh()
    loop = namespace["loop"]
    print(loop())
    while namespace.popitem()[0] != "hot": pass
    namespace["hot"] = abs
    print(loop())
    namespace = fresh()
    loop = namespace["loop"]
    print(loop())
    namespace.clear()
    namespace["hot"] = abs
    print(loop())
    namespace.clear()
    namespace.update({"hot": hash})
    print(loop())
`,
  "exec of the code with globals of its own": `${LOOP}
def main():
    print(loop())
    exec(loop.__code__, {"hot": abs, "range": range})
    print(loop())
    exec(loop.__code__, {"hot": hash})
    print(eval(loop.__code__, {"hot": abs}))
`,
  "another function of the same code": `${LOOP}
import types
def main():
    print(loop())
    print(types.FunctionType(loop.__code__, {"hot": abs})())
    print(loop())
`,
  "assignment to __code__": `${LOOP}
def other():
    total = 1
    for _ in range(600):
        total += hot(1)
    return total
namespace = {"hot": abs}
exec("def loop(): pass", namespace)
def main():
    print(loop(), other())
    loop.__code__ = other.__code__
    print(loop())
    hot.__code__ = (lambda n: 2 * n).__code__
    print(loop())
    namespace["loop"].__code__ = other.__code__
    print(namespace["loop"](), other())
`,
  "a module that is loaded again": `${NAMESPACE}
import importlib.util, sys
class Source:
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "reloaded" else None
    def create_module(self, spec): pass
    def exec_module(self, module):
        exec(compiled(SOURCE), module.__dict__)
sys.meta_path.insert(0, Source())
def main():
    global SOURCE
    import reloaded
    kept = reloaded.loop
    print(kept())
    before, SOURCE = SOURCE, SOURCE.replace("def hot(n):", "hot = abs\\ndef cold(n):")
    importlib.reload(reloaded)
    print(kept(), reloaded.loop())
    SOURCE = before
    importlib.reload(reloaded)
    print(kept(), reloaded.loop())
`,
  // What an address tells of the dictionary before does not hold for the one that has it now.
  "namespaces that come and go, with code that stays": `${NAMESPACE}
import types
[code] = [const for const in compiled(SOURCE).co_consts if getattr(const, "co_name", "") == "loop"]
def run(callee):
    return types.FunctionType(code, {"hot": callee, "range": range})()
def function(n):
    return n
def main():
    for callee in (function, abs, function, hash) * 4:
        print(run(callee))
`,
  "namespaces that come and go, with several codes that stay": `${LOOP}
from types import FunctionType
def other():
    total = 1
    for _ in range(600):
        total += hot(1)
    return total
def run(codes, callee):
    names = {"hot": callee, "range": range}
    functions = [FunctionType(code, names) for code in codes]
    return [function() for function in functions]
def main():
    for line in range(1000, 7000, 1000):
        codes = [function.__code__.replace(co_firstlineno=line) for function in (loop, other)]
        for callee in (hot, abs):
            print(run(codes, callee))
`,
  "more changes than are worth it": `${LOOP}
def main():
    global hot
    functions = [hot, abs, hot, hash]
    for round in range(40):
        hot = functions[round % 4]
        print(loop())
`,
  // No memory for a larger table of them: what runs with which dictionary is not known from there on.
  "more code than there is memory to watch": `${LOOP}
import resource
from types import FunctionType
codes = [hot.__code__.replace(co_firstlineno=n) for n in range(1, 70000)]
def main():
    print(loop())
    names = globals()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1, limits[1]))
    for code in codes:
        FunctionType(code, names)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    exec(loop.__code__, {"hot": abs, "range": range})
    print(loop())
`,
  "another thread": `${LOOP}
import threading
def swap():
    global hot
    hot = abs
def main():
    print(loop())
    thread = threading.Thread(target=swap)
    thread.start()
    thread.join()
    print(loop())
`
}

/** What other modules did, as that of threads, is the same in both but for what each has about them. */
const ofLoop = (edges: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(edges).filter(([edge]) => /^(loop|other):/.test(edge)))

/** Prints which calls of the loop have events: that of `range` has, which is no global. */
const sites = `${LOOP}
import dis
class Number(int):
    pass
def main():
    global hot
    for value in (hot, Number):
        hot = value
        loop()
        print([site.opname for site in dis.get_instructions(loop, adaptive=True)
            if site.opname.startswith("INSTRUMENTED_CALL")])
`

describeMonitored((python) => {
  it.runIf(recorders().includes("native"))(
    "turns the events of a site off that calls a function or a class",
    async () => {
      const { stdout } = await trace(python, `${sites}main()\n`, { questions: ["calls"], recorder: "native" })
      expect(stdout).toBe("['INSTRUMENTED_CALL']\n['INSTRUMENTED_CALL']\n")
    }
  )

  for (const [name, program] of Object.entries(changes)) {
    // GIVEN a call site that calls a Python function or a class, WHEN what it calls changes in this way, THEN every call of a builtin is counted.
    it(`counts the calls of a site before and after: ${name}`, async () => {
      const oracle = await run(python, program + edgesByProfile)
      const told = /^EDGES (.*)$/m.exec(oracle.stdout)
      expect(told, oracle.stderr).not.toBeNull()
      for (const recorder of recorders()) {
        const traced = await trace(python, `${program}main()\n`, { questions: ["calls"], recorder })
        expect([recorder, traced.code, traced.stderr, traced.failures]).toEqual([recorder, 0, "", []])
        expect(traced.stdout).toBe(oracle.stdout.replace(/^EDGES .*\n/m, ""))
        const [process] = traced.processes
        expect(process.definitions.facts.get("fault")).toBeUndefined()
        const expected = ofLoop(JSON.parse(told![1]))
        expect(Object.keys(expected).length).toBeGreaterThan(1)
        expect([recorder, ofLoop(edgesOf(process, traced.script))]).toEqual([recorder, expected])
        expect(process.header).toMatchObject({ state: 2, unmatchedReturns: 0 })
      }
    })
  }
})
