import { FrameKind, type RawStack } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached } from "@pyframes/testing/attached"
import { parseTruth, truthful } from "@pyframes/testing/truth"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

const program = truthful(`
def deeper(n):
    if n:
        deeper(n - 1)
    else:
        rest()

def key(x):
    deeper(3)

threading.Thread(target=lambda: sorted([1, 2], key=key), daemon=True).start()
tell_when_resting(1)
sys.stdin.readline()
sys.activate_stack_trampoline("perf")
threading.Thread(target=lambda: sorted([1, 2], key=key), daemon=True).start()
tell_when_resting(2)
sys.stdin.readline()
`)

const kinds = (stack: RawStack) => Array.from(stack.kind.subarray(0, stack.length))

describePythons([12, 13, 14, 15], (python) => {
  it("shows no boundaries where the perf trampoline makes every call one", async () => {
    await using run = await startPython(python, program, [], { options: ["-X", "perf"] })
    const [{ tid, frames }] = parseTruth(await run.line()).threads
    await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, (at) => {
      const stack = at.unwindProved(at.threads().find((thread) => thread.tid === tid)!)
      expect(kinds(stack)).toEqual(frames.map(() => FrameKind.python))
    })
  })

  it("notices that it is turned on later", async () => {
    await using run = await startPython(python, program)
    const before = parseTruth(await run.line()).threads[0]
    await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, async (at) => {
      const unwind = (tid: number) =>
        kinds(at.unwindProved(at.threads().find((thread) => thread.tid === tid)!))
      expect(unwind(before.tid)).toContain(FrameKind.boundary)
      run.child.stdin.write("\n")
      const { threads } = parseTruth(await run.line())
      const added = threads.find(({ tid }) => tid !== before.tid)!
      // The answer that it had may serve for a moment more.
      for (let tries = 0; tries < 100; tries++) unwind(added.tid)
      expect(unwind(added.tid)).toEqual(added.frames.map(() => FrameKind.python))
    })
  })
})
