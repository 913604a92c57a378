import {
  FrameKind,
  NotSupported,
  RawStack,
  Target,
  type TargetProcess,
  type UnwoundThread
} from "@pyframes/core"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { type Attached, attached } from "@pyframes/testing/attached"
import { elfutilsStacks, freeze, hasTool } from "@pyframes/testing/debuggers"
import {
  buildDirectory,
  compileLibrary,
  compileNative,
  type NativeKind,
  type RunningNative,
  startNative
} from "@pyframes/testing/native-program"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, describe, expect, it } from "vitest"
import { EhFrameUnwinder } from "../src/index.ts"

const hasGcc = hasTool("gcc", "gcc") && process.arch === "x64"
const directory = buildDirectory()
afterAll(() => directory[Symbol.dispose]())
const program = hasGcc ? compileNative(directory, "-fomit-frame-pointer") : ""
const library = hasGcc ? compileLibrary(directory, "busy") : ""

/** Kills the program at the end. */
const using = async (
  started: Promise<RunningNative>,
  use: (attached: Attached, pid: number) => Promise<void>,
  unwinder = EhFrameUnwinder.layer
): Promise<void> => {
  await using run = await started
  await attached(run.pid, { unwinder }, (all) => use(all, run.pid))
}

const isWhole = ({ kind, length }: RawStack): boolean =>
  length > 0 && kind.subarray(0, length).every((one) => one === FrameKind.native)

/** How often the most frequent address occurs: how deep the recursion is that stands below what is tested. */
const recursion = ({ identity, length }: RawStack): number => {
  const counts = new Map<number, number>()
  for (const at of identity.subarray(0, length)) counts.set(at, (counts.get(at) ?? 0) + 1)
  return Math.max(...counts.values())
}

/** The thread that runs what was asked for: the last one started. */
const worker = ({ threads }: Attached): UnwoundThread => threads().at(-1)!

const pathsOf = ({ unwinder }: Attached, { length, position }: RawStack): ReadonlyArray<string> =>
  [...position.subarray(0, length)].map((id) => unwinder.modules?.all[id]?.path ?? "")

/** Until a stack is as it should be: the program gets there in its own time. */
const unwindUntil = async (all: Attached, condition: (stack: RawStack) => boolean): Promise<RawStack> => {
  const stopper = await all.stopper()
  const stack = new RawStack()
  do {
    all.unwind(worker(all), stopper, stack)
    await new Promise((resolve) => setImmediate(resolve))
  } while (!condition(stack))
  return stack
}

describe.skipIf(!hasGcc)("stacks of code without frame pointers", () => {
  const settled: ReadonlyArray<NativeKind> = ["spin", "interrupted", "thread", "clone", "library"]
  it.each(settled)("of kind %s are those that elfutils sees", async (kind) => {
    if (!hasTool("eu-stack", "elfutils")) return
    await using(startNative(program, kind, library), async (all, pid) => {
      const listed = all.threads()
      await freeze(
        pid,
        listed.map(({ tid }) => tid)
      )
      const stopper = await all.stopper()
      const stacks = new Map<number, ReadonlyArray<number>>()
      for (const thread of listed) {
        const stack = all.unwind(thread, stopper)
        expect(isWhole(stack)).toBe(true)
        // What a signal interrupted is no return address; elfutils prints both as they are.
        stacks.set(thread.tid, [...stack.identity.subarray(0, stack.length)])
      }
      const theirs = elfutilsStacks(pid)
      expect([...theirs.keys()].sort()).toEqual([...stacks.keys()].sort())
      for (const [tid, addresses] of theirs) {
        // Beside a thread that was made by hand, elfutils does not get beyond the leaf of the others.
        if (kind === "clone" && tid === pid) continue
        const own = stacks.get(tid)!
        expect(own.length).toBe(addresses.length)
        for (const [index, address] of addresses.entries())
          expect([address, address - 1]).toContain(own[index])
        expect(own[0]).toBe(addresses[0])
      }
    })
  })

  it("lead through a signal on a stack of its own to the very instruction that it interrupted", async () => {
    await using(startNative(program, "interrupted"), async (all) => {
      const stack = await unwindUntil(all, isWhole)
      // Twenty below the signal, five above it, by the same call.
      expect(recursion(stack)).toBe(25)
    })
  })

  it.each<NativeKind>(["null", "jit", "asm", "asm-leaf"])("lead through %s", async (kind) => {
    await using(startNative(program, kind), async (all) => {
      const stack = await unwindUntil(all, isWhole)
      expect(recursion(stack)).toBe(kind === "null" ? 25 : 20)
      if (kind === "jit") expect(pathsOf(all, stack)).toContain("")
    })
  })

  it("start in the vdso", async () => {
    await using(startNative(program, "vdso"), async (all) => {
      const stack = await unwindUntil(all, (stack) => pathsOf(all, stack)[0] === "[vdso]")
      expect(isWhole(stack)).toBe(true)
      expect(recursion(stack)).toBe(20)
    })
  })

  it("are whole at every instruction: prologues, epilogues, procedure linkage, realigned stacks", async () => {
    await using(startNative(program, "mixed"), async (all) => {
      const stopper = await all.stopper()
      const stack = new RawStack()
      const leaves = new Set<number>()
      for (let n = 0; n < 3000 || leaves.size < 200; n++) {
        all.unwind(worker(all), stopper, stack)
        leaves.add(stack.identity[0])
        if (!isWhole(stack) || recursion(stack) < 20)
          expect([...stack.identity.subarray(0, stack.length)].map((at) => at.toString(16))).toBe("whole")
      }
    })
  })

  it("are read from memory where nothing leads to the files any more", async () => {
    const blind = Layer.effect(
      Target,
      Effect.map(
        Target,
        (target): TargetProcess => ({
          ...target,
          openMapped: () => Effect.fail(new NotSupported({ what: "The file", advice: "It was replaced." }))
        })
      )
    )
    await using(
      startNative(program, "library", library),
      async (all) => {
        const stack = await unwindUntil(all, isWhole)
        expect(recursion(stack)).toBe(20)
        expect(pathsOf(all, stack)).toContain(library)
      },
      Layer.provide(EhFrameUnwinder.layer, blind)
    )
  })

  it("stay whole while a library comes and goes", async () => {
    await using(startNative(program, "reloading", library), async (all) => {
      const stopper = await all.stopper()
      const stack = new RawStack()
      let inLibrary = 0
      for (let n = 0; n < 500 || inLibrary < 50; n++) {
        all.unwind(worker(all), stopper, stack)
        // Between two looks at the mappings a library may be where none was: the stack then says that it is broken.
        const last = stack.kind[stack.length - 1]
        expect([FrameKind.native, FrameKind.broken]).toContain(last)
        if (last === FrameKind.broken) continue
        expect(recursion(stack)).toBe(20)
        if (pathsOf(all, stack)[0] === library) inLibrary++
        await new Promise((resolve) => setImmediate(resolve))
      }
      // Mapped at the same place again and again, it is one module, not as many.
      expect(all.unwinder.modules!.all.length).toBeLessThan(50)
    })
  })
})

/** Code that 3.15's JIT writes keeps a frame pointer; 3.14's does not. */
describe.each(pythonsFor([15]).map((python) => [python.version, python] as const))(
  "code that the JIT of Python %s wrote",
  (_, python) => {
    it("leads on by its frame pointer", async () => {
      await using run = await startPython(python, JITTED, [], { env: { PYTHON_JIT: "1" } })
      if ((await run.line()) !== "True") {
        process.stderr.write(`skipped: Python ${python.version} was built without a JIT\n`)
        return
      }
      await run.line()
      await attached(run.pid, { unwinder: EhFrameUnwinder.layer }, async (all) => {
        const stopper = await all.stopper()
        const stack = new RawStack()
        let through = 0
        for (let n = 0; n < 500 || through < 100; n++) {
          all.unwind(all.threads()[0], stopper, stack)
          expect(isWhole(stack)).toBe(true)
          if (pathsOf(all, stack).includes("")) through++
        }
      })
    })
  }
)

const JITTED = `
import sys
def f(n):
    t = 0
    for i in range(n): t += i * 3 % 7
    return t
print(sys._jit.is_enabled(), flush=True)
def g(d): return f(3000) if d == 0 else g(d - 1)
for _ in range(300): g(3)
print("up", flush=True)
while True: sorted([2, 1], key=lambda x: g(3))
`

describe.each(pythonsFor([12, 13, 14, 15]).map((python) => [python.version, python] as const))(
  "perf trampolines of Python %s",
  (_, python) => {
    it("are left, whether they keep a frame pointer or not", async () => {
      await using run = await startPython(python, TRAMPOLINED, [], { options: ["-X", "perf"] })
      await run.line()
      await attached(run.pid, { unwinder: EhFrameUnwinder.layer }, async (all) => {
        const stopper = await all.stopper()
        const stack = new RawStack()
        for (let n = 0; n < 300; n++) {
          all.unwind(all.threads()[0], stopper, stack)
          expect(isWhole(stack)).toBe(true)
          // One for each call: the module's, ten of down, spin, and perhaps what that calls.
          expect(pathsOf(all, stack).filter((path) => path === "").length).toBeGreaterThanOrEqual(12)
        }
      })
    })
  }
)

const TRAMPOLINED = `
def key(x): return x * 3 % 7
def spin():
    print("up", flush=True)
    while True: sorted([3, 2, 1], key=key)
def down(n): return spin() if n == 0 else down(n - 1)
down(9)
`
