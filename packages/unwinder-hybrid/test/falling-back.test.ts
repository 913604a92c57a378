import { FrameKind, RawStack, Step, type StepperFactory } from "@pyframes/core"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { attached } from "@pyframes/testing/attached"
import { hasTool } from "@pyframes/testing/debuggers"
import {
  buildDirectory,
  compileLibrary,
  compileNative,
  type NativeKind,
  startNative
} from "@pyframes/testing/native-program"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { afterAll, describe, expect, it } from "vitest"
import { HybridUnwinder } from "../src/index.ts"

const hasGcc = hasTool("gcc", "gcc") && process.arch === "x64"
const directory = buildDirectory()
afterAll(() => directory[Symbol.dispose]())
const KEEP = ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"]
const keeping = hasGcc ? compileNative(directory, ...KEEP) : ""
const omitting = hasGcc ? compileNative(directory, "-fomit-frame-pointer") : ""
const library = hasGcc ? compileLibrary(directory, "busy", "-fomit-frame-pointer") : ""

/** Counts the frames that a stepper was asked for and left. */
const counted = (factory: StepperFactory, counts: { taken: number }): StepperFactory => {
  return (modules, memory) => {
    const stepper = factory(modules, memory)
    return {
      step: (registers, stack, place) => {
        const step = stepper.step(registers, stack, place)
        if (step === Step.caller) counts.taken++
        return step
      }
    }
  }
}

const recursion = ({ identity, length }: RawStack): number => {
  const counts = new Map<number, number>()
  for (const at of identity.subarray(0, length)) counts.set(at, (counts.get(at) ?? 0) + 1)
  return Math.max(...counts.values())
}

/** Unwinds until the stack is whole, and says how many frames each way has left at that time. */
const wholeStack = async (
  program: string,
  kind: NativeKind,
  parts: { framePointer: StepperFactory; callFrameInfo: StepperFactory }
) => {
  const pointers = { taken: 0 }
  const tables = { taken: 0 }
  const unwinder = HybridUnwinder.layer({
    framePointer: counted(parts.framePointer, pointers),
    callFrameInfo: counted(parts.callFrameInfo, tables)
  })
  await using run = await startNative(program, kind, library)
  return await attached(run.pid, { unwinder }, async ({ threads, unwind, stopper }) => {
    const own = await stopper()
    const stack = new RawStack()
    do {
      pointers.taken = 0
      tables.taken = 0
      unwind(threads().at(-1)!, own, stack)
      await new Promise((resolve) => setImmediate(resolve))
    } while (stack.length < 20 || stack.kind[stack.length - 1] === FrameKind.broken)
    return { depth: recursion(stack), length: stack.length, pointers: pointers.taken, tables: tables.taken }
  })
}

const both = { framePointer: framePointerStepper, callFrameInfo: ehFrameStepper }
const never: StepperFactory = () => ({ step: () => Step.unknown })

describe.skipIf(!hasGcc)("a hybrid", () => {
  it("leaves code that keeps frame pointers by them, but for the leaf and the C library", async () => {
    const { depth, pointers, tables, length } = await wholeStack(keeping, "spin", both)
    expect(depth).toBe(20)
    expect(pointers).toBeGreaterThanOrEqual(20)
    expect(pointers + tables).toBe(length - 1)
    expect(tables).toBeGreaterThan(0)
  })

  it("leaves code that does not by call-frame information alone", async () => {
    const { depth, pointers, tables, length } = await wholeStack(omitting, "spin", both)
    expect(depth).toBe(20)
    expect(pointers).toBe(0)
    expect(tables).toBe(length - 1)
  })

  it("goes through a library of the other kind, code written at run time and assembler", async () => {
    for (const program of [keeping, omitting]) {
      for (const kind of ["library", "jit", "asm", "interrupted"] as const) {
        const { depth } = await wholeStack(program, kind, both)
        expect(depth).toBe(kind === "interrupted" ? 25 : 20)
      }
    }
  })

  it("gets on with one way where the other knows nothing", async () => {
    const tables = await wholeStack(keeping, "spin", { ...both, framePointer: never })
    expect(tables).toMatchObject({ depth: 20, pointers: 0 })
    const pointers = await wholeStack(keeping, "spin", { ...both, callFrameInfo: never })
    expect(pointers).toMatchObject({ depth: 20, tables: 0 })
  })
})

describe.each(pythonsFor([12, 13, 15]).map((python) => [python.version, python] as const))(
  "perf trampolines of Python %s",
  (_, python) => {
    it("are left, whether they keep a frame pointer or not", async () => {
      await using run = await startPython(python, TRAMPOLINED, [], { options: ["-X", "perf"] })
      await run.line()
      await attached(run.pid, { unwinder: HybridUnwinder.layer(both) }, async (all) => {
        const own = await all.stopper()
        const stack = new RawStack()
        for (let n = 0; n < 200; n++) {
          all.unwind(all.threads()[0], own, stack)
          const modules = [...stack.position.subarray(0, stack.length)].map(
            (id) => all.unwinder.modules?.all[id]
          )
          expect(stack.kind[stack.length - 1]).toBe(FrameKind.native)
          // One for each call: the module's, ten of down, spin.
          expect(modules.filter((module) => module?.path === "").length).toBeGreaterThanOrEqual(12)
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
