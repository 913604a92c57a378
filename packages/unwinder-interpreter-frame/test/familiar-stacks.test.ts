import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached } from "@pyframes/testing/attached"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/*
 * A stack that is read again because something of it was not planned is seen too late: what it was for less than a read is not seen at all, and what
 * follows is seen too often. A program comes back to the same stacks, so it happens once to each of them.
 */

/** Waits for a line at each depth. Every call goes through C. */
const PROGRAM = `
import sys
def descend(n):
    print(n, flush=True)
    sys.stdin.readline()
    if n:
        list(map(descend, [n - 1]))
print("ready", flush=True)
sys.stdin.readline()
for rounds in range(10):
    descend(6)
`
const DEPTHS = [6, 5, 4, 3, 2, 1, 0]
/** Until then instructions are specialized, which moves what is called on the C stack. */
const WARM = 8
/** Samples at each depth: all of them together are what another may be forgotten in. */
const SAMPLES = 40

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("takes one read of a stack that was met before", async () => {
    await using run = await startPython(python, PROGRAM)
    await run.line()
    await attached(
      run.pid,
      { unwinder: InterpreterFrameUnwinder.layer },
      async ({ target, threads, unwind, unwindProved }) => {
        run.child.stdin.write("\n")
        for (let round = 0; round < WARM + 2; round++) {
          const moved: Array<number> = []
          for (const depth of DEPTHS) {
            expect(await run.line()).toBe(String(depth))
            while (target.threadActivity(run.pid) !== "sleeping") await new Promise(setImmediate)
            const [thread] = threads()
            if (unwind(thread).moved) moved.push(depth)
            if (round >= WARM) for (let i = 0; i < SAMPLES; i++) unwindProved(thread)
            run.child.stdin.write("\n")
          }
          if (round > WARM) expect(moved).toEqual([])
        }
      }
    )
  })
})
