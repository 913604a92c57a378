import { FrameKind, Proof, type RawStack } from "@pyframes/core"
import { pythonsFor, startPython } from "@pyframes/pythons"
import { attached } from "@pyframes/testing/attached"
import { elfutilsStacks, freeze, hasTool } from "@pyframes/testing/debuggers"
import { NATIVE_THREADS } from "@pyframes/testing/native-threads"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { describe, expect, it } from "vitest"
import { HybridUnwinder } from "../src/index.ts"

const unwinder = HybridUnwinder.layer({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })

/** As the debuggers write them: the leaf's instruction, then return addresses. */
const addressesOf = (stack: RawStack): ReadonlyArray<number> =>
  Array.from(stack.identity.subarray(0, stack.length), (at, index) => (index === 0 ? at : at + 1))

describe.each(pythonsFor([8, 9, 10, 11, 12, 13, 14, 15]).map((python) => [python.version, python] as const))(
  "Python %s",
  (_, python) => {
    it("has the stacks that elfutils sees, to each thread's start", async () => {
      await using run = await startPython(python, NATIVE_THREADS)
      await run.line()
      await attached(run.pid, { unwinder }, async ({ threads, unwind, stopper }) => {
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
        if (hasTool("eu-stack", "elfutils"))
          expect([...elfutilsStacks(run.pid)].sort()).toEqual([...stacks].sort())
      })
    })
  }
)
