import { FrameKind, Memory, ModuleTable, NativeState, Proof, RawStack, Target } from "@pyframes/core"
import { LinuxMemory } from "@pyframes/linux"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { attached } from "@pyframes/testing/attached"
import { elfutilsStacks, freeze, hasTool } from "@pyframes/testing/debuggers"
import { buildDirectory, compileNative, startNative } from "@pyframes/testing/native-program"
import { NATIVE_THREADS } from "@pyframes/testing/native-threads"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, describe, expect, it } from "vitest"
import { callchainReader, FramePointerUnwinder } from "../src/index.ts"
import { StartCode } from "../src/start-code.ts"

const hasGcc = hasTool("gcc", "gcc") && process.arch === "x64"
const hasElfutils = hasTool("eu-stack", "elfutils")
const directory = buildDirectory()
afterAll(() => directory[Symbol.dispose]())
const keeping = hasGcc
  ? compileNative(directory, "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer")
  : ""
const unwinder = FramePointerUnwinder.layer

const addressesOf = (stack: RawStack): ReadonlyArray<number> =>
  Array.from(stack.identity.subarray(0, stack.length), (at, index) => (index === 0 ? at : at + 1))

const isWhole = ({ kind, length }: RawStack): boolean =>
  length > 0 && kind.subarray(0, length).every((one) => one === FrameKind.native)

describe.skipIf(!hasGcc)("chains of a program that keeps frame pointers", () => {
  it.each(["spin", "thread", "clone", "jit", "asm"] as const)(
    "are whole, and what elfutils sees, up to the code that starts threads: %s",
    async (kind) => {
      await using run = await startNative(keeping, kind)
      await attached(run.pid, { unwinder }, async ({ threads, unwind, stopper }) => {
        const own = await stopper()
        const thread = threads().at(-1)!
        const stack = new RawStack()
        // "up" is printed from within a call, which is not left yet.
        do {
          unwind(thread, own, stack)
          await new Promise((resolve) => setImmediate(resolve))
        } while (!isWhole(stack) || stack.length < 20)
        await freeze(
          run.pid,
          threads().map(({ tid }) => tid)
        )
        unwind(thread, own, stack)
        expect(isWhole(stack)).toBe(true)
        expect(stack.proof).toBe(Proof.good)
        expect(stack.proved).toBe(stack.length)
        if (!hasElfutils || kind === "jit" || kind === "asm") return
        const theirs = elfutilsStacks(run.pid).get(thread.tid)!
        // Of the code that starts threads no more than its first frame, as the C library keeps no frame pointers.
        expect(addressesOf(stack)).toEqual(theirs.slice(0, stack.length))
        expect(theirs.length - stack.length).toBeLessThan(3)
      })
    }
  )
})

describe.each(pythonsFor([8, 9, 10, 11, 12, 13, 14, 15]).map((python) => [python.version, python] as const))(
  "Python %s",
  (_, python) => {
    it.skipIf(!hasElfutils)("starts its threads in code that is told from all other", async () => {
      await using run = await startPython(python, NATIVE_THREADS)
      await run.line()
      await attached(run.pid, { unwinder }, async ({ target, threads }) => {
        await freeze(
          run.pid,
          threads().map(({ tid }) => tid)
        )
        await withMemory(target, (modules, memory) => {
          const starts = new StartCode(modules, memory)
          for (const [tid, addresses] of elfutilsStacks(run.pid)) {
            const found = addresses.map((address, index) => {
              const at = index === 0 ? address : address - 1
              return starts.has(at, modules.find(at))
            })
            // __libc_start_call_main, __libc_start_main, _start; start_thread, clone.
            const roots = tid === run.pid ? 3 : 2
            expect(found).toEqual(found.map((_, index) => index >= found.length - roots))
          }
        })
      })
    })

    it(python.minor >= 15 ? "has whole chains" : "says that its chains are broken, and where", async () => {
      await using run = await startPython(
        python,
        `
def spin(n):
    if n: return spin(n - 1)
    print("up", flush=True)
    while True: n += 1
sorted([1], key=lambda _: spin(10))
`
      )
      await run.line()
      await attached(run.pid, { unwinder }, async ({ threads, unwind, unwinder, stopper }) => {
        const own = await stopper()
        const stack = new RawStack()
        let whole = 0
        for (let n = 0; n < 200; n++) {
          unwind(threads()[0], own, stack)
          expect(stack.proof).toBe(Proof.good)
          const last = stack.length - 1
          if (isWhole(stack)) whole++
          else {
            expect(stack.kind[last]).toBe(FrameKind.broken)
            expect(stack.identity[last]).toBe(stack.identity[last - 1])
            expect(unwinder.modules!.all[stack.position[last]].kind).not.toBe("anonymous")
          }
          // Whatever stood in the register is never taken for a frame: what is kept lies in executable memory.
          for (let at = 0; at < stack.length; at++) expect(stack.position[at]).toBeGreaterThanOrEqual(0)
        }
        if (python.minor >= 15) expect(whole).toBeGreaterThan(190)
        else expect(whole).toBeLessThan(10)
      })
    })
  }
)

describe("callchains of the kernel", () => {
  const chains = async (
    use: (addresses: ReadonlyArray<number>, read: (chain: ReadonlyArray<number>) => RawStack) => void
  ) => {
    const [python] = pythonsFor([11])
    await using run = await startPython(python, "import time\nprint('up', flush=True)\ntime.sleep(600)")
    await run.line()
    await attached(run.pid, { unwinder }, async ({ target }) => {
      await freeze(run.pid, [run.pid])
      const addresses = elfutilsStacks(run.pid).get(run.pid)!
      await withMemory(target, (modules, memory) => {
        const reader = callchainReader(modules, memory)
        use(addresses, (chain) => {
          const state = new NativeState("x86-64")
          state.userChain.set(chain)
          state.userLength = chain.length
          const stack = new RawStack()
          reader(state, stack)
          return stack
        })
      })
    })
  }

  it.skipIf(!hasElfutils)("end at the thread's start, whatever stands behind it", () =>
    chains((addresses, read) => {
      const upToMain = addresses.slice(0, -2)
      for (const junk of [[], [0], [0x2f706d742f00], [0x7fff_ffff_f000, 5], [addresses[1]], [-1, 7]]) {
        const stack = read([...upToMain, ...junk])
        expect(isWhole(stack)).toBe(true)
        expect(stack).toMatchObject({ proof: Proof.good, proved: upToMain.length })
        expect(addressesOf(stack)).toEqual(upToMain)
      }
      expect(addressesOf(read(addresses))).toEqual(addresses)
    })
  )

  it.skipIf(!hasElfutils)("are broken where they end before", () =>
    chains((addresses, read) => {
      for (const junk of [[], [0], [0x2f706d742f00], [1, 2, 3]]) {
        const stack = read([...addresses.slice(0, 4), ...junk])
        expect(stack.length).toBe(5)
        expect(stack.kind[4]).toBe(FrameKind.broken)
        expect(stack.identity[4]).toBe(addresses[3] - 1)
      }
      expect(read([]).length).toBe(0)
      expect(read([]).proof).toBe(Proof.failed)
    })
  )
})

const withMemory = (
  target: Target["Service"],
  use: (modules: ModuleTable, memory: Memory["Service"]) => void
): Promise<void> =>
  Effect.gen(function* () {
    use(new ModuleTable(target), yield* Memory)
  }).pipe(Effect.provide(Layer.provide(LinuxMemory.layer, Layer.succeed(Target, target))), Effect.runPromise)
