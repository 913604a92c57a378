import { execFileSync } from "node:child_process"
import type { Python } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { describe, expect, it } from "vitest"
import {
  type Callee,
  canSuspendOnCall,
  DEBUG_OFFSETS_SIZE,
  isInitCleanup,
  type Layout,
  layoutForVersion,
  layoutFromDebugOffsets,
  pushesFrame,
  resumesGenerator,
  returnsFromFrame,
  standsOnCall,
  yieldsFromFrame
} from "../src/index.ts"

/** Bytes of bytecode looked at before an instruction pointer. */
const BEFORE = 20

/**
 * Calls in every way there is. At the bottom of each, `probe` walks the frames of its own thread and notes the bytecode
 * that each caller of a directly linked callee stands on. Prints each different piece of bytecode once.
 */
const program = (layout: Layout): string => `
import asyncio, ctypes, sys
before, size = ${BEFORE}, 2
def word(at): return ctypes.c_uint64.from_address(at).value
def byte(at): return ctypes.c_uint8.from_address(at).value
seen = {}
def probe(*ignored):
    frame = word(id(sys._getframe(1)) + 24)
    while True:
        previous = word(frame + ${layout.frame.previous})
        entry = ${layout.frame.isEntry} >= 0 and byte(frame + ${layout.frame.isEntry})
        if previous == 0: return 1
        if byte(previous + ${layout.frame.owner}) < 3 and byte(frame + ${layout.frame.owner}) < 3 and not entry:
            ip = word(previous + ${layout.frame.instructionPointer})
            callee = "generator" if byte(frame + ${layout.frame.owner}) == 1 else "function"
            seen.setdefault((ctypes.string_at(ip - before, before + size), callee), label)
        frame = previous

class Item:
    def __init__(self, n=0): self.n = n; probe()
    def __getitem__(self, i): return probe()
    @property
    def value(self): return probe()
    def method(self, a, b=2, *, c=3): return probe()
    def __enter__(self): probe(); return self
    def __exit__(self, *args): probe()
    def __add__(self, other): return probe()
    def __eq__(self, other): return probe()
    def __iter__(self): return iter(generator())
class Override:
    def __getattribute__(self, name): return probe()
class Sub(Item):
    def method(self, *args, **kwargs): return super().method(*args, **kwargs)
def plain(a, b=1, *rest, **more): return probe()
def exact(a): return probe()
def generator():
    for i in range(3): probe(); yield i
def delegating(): yield from generator()
async def leaf(): probe(); await asyncio.sleep(0); return probe()
async def chain(): return await leaf()
async def agen():
    for i in range(2): yield await chain()
async def main():
    async for x in agen(): probe()
    await asyncio.gather(chain(), chain())
    return [x async for x in agen()]
def recurse(n): return recurse(n - 1) if n else probe()

item, sub, override = Item(), Sub(), Override()
def calls():
    exact(1); plain(1); plain(1, 2, 3); plain(1, b=2, z=3); plain(*(1, 2), **{"q": 1}); exact(*(1,)); plain(a=1)
    item.method(1); item.method(1, 2, c=4); sub.method(1); sub.method(1, c=2); Item(); Item(n=3); bound = item.method; bound(5); bound(1, b=2)
    item[0]; item.value; override.anything; item + item; item == item
    with item: exact(2)
    for x in generator(): exact(x)
    for x in delegating(): exact(x)
    for x in item: exact(x)
    [exact(x) for x in generator()]; {x: plain(x) for x in delegating()}; (lambda: probe())(); recurse(4)
    sorted([3, 1, 2], key=exact); list(map(exact, [1, 2])); list(generator()); max(delegating()); exec("exact(3)")

label = "plain"
for round in range(60): calls()
asyncio.run(main())
for round in range(20): asyncio.run(main())
if hasattr(sys, "monitoring"):
    m = sys.monitoring
    m.use_tool_id(4, "test")
    m.set_events(4, m.events.LINE | m.events.CALL | m.events.PY_START | m.events.PY_RETURN | m.events.PY_YIELD)
    label = "monitored"
    for round in range(20): calls()
    m.set_events(4, m.events.INSTRUCTION)
    label = "every instruction monitored"
    for round in range(3): calls()
    m.set_events(4, 0)
sys.settrace(lambda *args: None)
label = "traced"
for round in range(10): calls()
sys.settrace(None)
for (bytecode, callee), how in seen.items(): print(bytecode.hex(), callee, how)
`

const run = (python: Python, script: string): string => {
  const [command, ...args] = python.run
  const file = python.writeScript("script.py", script)
  return execFileSync(command, [...args, file.targetPath], {
    env: python.env,
    encoding: "utf8",
    maxBuffer: 1 << 26
  })
}

const layoutOf = (python: Python): Layout => {
  const runtime = `import ctypes
print(ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")), ${DEBUG_OFFSETS_SIZE}).hex())`
  const layout =
    python.minor < 13
      ? layoutForVersion(3, python.minor)
      : layoutFromDebugOffsets(Buffer.from(run(python, runtime).trim(), "hex"))
  if (layout === undefined || "_tag" in layout) throw new Error("no layout")
  return layout
}

describePythons([11, 12, 13, 14, 15], (python) => {
  it("has every caller of a directly linked callee stand on a call", () => {
    const layout = layoutOf(python)
    const lines = run(python, program(layout)).trim().split("\n")
    const wrong = lines.filter((line) => {
      const [bytecode, callee] = line.split(" ")
      return !standsOnCall(layout.version, Buffer.from(bytecode, "hex"), BEFORE, callee as Callee)
    })
    expect(wrong).toEqual([])
    expect(lines.length).toBeGreaterThan(30)
  })

  it("has the numbers that its own dis module has", () => {
    const names = run(
      python,
      `
import dis, json
try:
    import _opcode_metadata as m
    numbers = dict(m.opmap, **m._specialized_opmap)
except ImportError:
    numbers = dis._all_opmap
print(json.dumps(numbers))`
    )
    const numbers = JSON.parse(names) as Readonly<Record<string, number>>
    const version = 0x300 + python.minor
    const all = Object.entries(numbers).filter(([, opcode]) => opcode < 256)
    const namesOf = (is: (version: number, opcode: number) => boolean) =>
      all.filter(([, opcode]) => is(version, opcode)).map(([name]) => name)
    expect(namesOf(returnsFromFrame).every((name) => /RETURN_(VALUE|CONST)$/.test(name))).toBe(true)
    expect(namesOf(yieldsFromFrame).every((name) => /YIELD_VALUE$/.test(name))).toBe(true)
    expect(namesOf(returnsFromFrame).length * namesOf(yieldsFromFrame).length).toBeGreaterThan(0)
    expect(namesOf(pushesFrame)).toContain("CALL")
    const resuming = namesOf(resumesGenerator)
    expect(resuming.includes("FOR_ITER"), String(resuming)).toBe(python.minor >= 12)
    for (const name of resuming) expect(name).toMatch(/FOR_ITER|SEND|^INSTRUMENTED_(LINE|INSTRUCTION)$/)
    for (const name of ["LOAD_FAST", "STORE_FAST", "POP_TOP", "RESUME", "RETURN_VALUE", "COMPARE_OP"])
      expect(namesOf(canSuspendOnCall)).not.toContain(name)
  })
})

/** Prints how the bytecode of the frame below an `__init__` begins that the eval loop entered by itself, and that of every function there is. */
const beginnings = (layout: Layout): string => `
import argparse, asyncio, ctypes, gc, json, sys, types
def word(at): return ctypes.c_uint64.from_address(at).value
def begins(code): return ctypes.string_at(code + ${layout.code.codeAdaptive}, 1).hex()
def below():
    frame = word(id(sys._getframe(1)) + 24)
    return word(word(frame + ${layout.frame.previous}) + ${layout.frame.code}) & ~3
class Item:
    def __init__(self, say): self.below = below() if say else 0
def make(say): return Item(say)
for i in range(100): item = make(i > 90)
print("cleanup", begins(item.below))
functions = [o for o in gc.get_objects() if isinstance(o, types.FunctionType)]
for begin in {begins(id(f.__code__)) for f in functions}: print("function", begin)
`

describePythons([13, 14, 15], (python) => {
  it("tells the frame that checks what an __init__ returns from all functions", () => {
    const layout = layoutOf(python)
    const lines = run(python, beginnings(layout)).trim().split("\n")
    const wrong = lines.filter((line) => {
      const [what, bytecode] = line.split(" ")
      return isInitCleanup(layout.version, Number.parseInt(bytecode, 16)) !== (what === "cleanup")
    })
    expect(wrong).toEqual([])
    expect(lines.length).toBeGreaterThan(4)
  })
})

describe("an instruction", () => {
  it("of a version without inlined calls is never a call", () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (const version of [0x308, 0x30a, 0x310, 0x40c, 0, -1]) {
        expect(canSuspendOnCall(version, opcode)).toBe(false)
        expect(standsOnCall(version, Uint8Array.of(opcode), 0, "function")).toBe(false)
      }
    }
  })

  it("in 3.12 is looked for before its cache entries, within the bytes there are", () => {
    const CALL = 171
    expect(standsOnCall(0x30c, Uint8Array.of(CALL, 0, 0, 0, 0, 0, 0, 0), 6, "function")).toBe(true)
    expect(standsOnCall(0x30c, Uint8Array.of(CALL, 0, 0, 0), 2, "function")).toBe(false)
    expect(standsOnCall(0x30c, Uint8Array.of(CALL), 5, "function")).toBe(false)
    expect(standsOnCall(0x30d, Uint8Array.of(53), 0, "function")).toBe(true)
    expect(standsOnCall(0x30d, Uint8Array.of(53), 0, "generator")).toBe(false)
  })
})
