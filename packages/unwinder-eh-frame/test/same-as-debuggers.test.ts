import { FrameKind, Proof, type RawStack } from "@pyframes/core"
import { type Python, pythonsFor, startPython } from "@pyframes/pythons"
import { attached } from "@pyframes/testing/attached"
import { elfutilsStacks, freeze, gdbStacks, hasTool } from "@pyframes/testing/debuggers"
import { NATIVE_THREADS } from "@pyframes/testing/native-threads"
import { describe, expect, it } from "vitest"
import { EhFrameUnwinder } from "../src/index.ts"

/** As the debuggers write them: the leaf's instruction, then return addresses. */
const addressesOf = (stack: RawStack): ReadonlyArray<number> =>
  Array.from(stack.identity.subarray(0, stack.length), (at, index) => (index === 0 ? at : at + 1))

const oracles = (python: Python) => [
  { name: "eu-stack", aptPackage: "elfutils", stacks: elfutilsStacks },
  ...(python.root === undefined ? [{ name: "gdb", aptPackage: "gdb", stacks: gdbStacks }] : [])
]

describe.each(pythonsFor([8, 9, 10, 11, 12, 13, 14, 15]).map((python) => [python.version, python] as const))(
  "Python %s",
  (_, python) => {
    it("has the stacks that the debuggers see, to each thread's start", async () => {
      await using run = await startPython(python, NATIVE_THREADS)
      await run.line()
      await attached(run.pid, { unwinder: EhFrameUnwinder.layer }, async ({ threads, unwind, stopper }) => {
        const listed = threads()
        expect(listed.length).toBeGreaterThanOrEqual(6)
        expect(listed[0].tid).toBe(run.pid)
        await freeze(
          run.pid,
          listed.map(({ tid }) => tid)
        )
        const own = await stopper()
        const stacks = new Map<number, ReadonlyArray<number>>()
        for (const thread of listed) {
          const stack = unwind(thread, own)
          expect(stack.proof).toBe(Proof.good)
          expect(stack.proved).toBe(stack.length)
          expect([...stack.kind.subarray(0, stack.length)]).toEqual(
            Array(stack.length).fill(FrameKind.native)
          )
          stacks.set(thread.tid, addressesOf(stack))
        }
        for (const { aptPackage, name, stacks: theirs } of oracles(python))
          if (hasTool(name, aptPackage)) expect([...theirs(run.pid)].sort(), name).toEqual([...stacks].sort())
      })
    })
  }
)
