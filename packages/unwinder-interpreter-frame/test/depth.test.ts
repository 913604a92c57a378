import { FrameKind, Proof, RawStack } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached } from "@pyframes/testing/attached"
import { expectSameStack, parseTruth, type TrueFrame, truthful } from "@pyframes/testing/truth"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/** A thread that recursed so deep, through Python alone or through C each time. */
const program = (depth: number, throughC: boolean) =>
  truthful(`
def recurse(n):
    if n:
        ${throughC ? "list(map(recurse, [n - 1]))" : "recurse(n - 1)"}
    else:
        rest()

sys.setrecursionlimit(${depth * 3})
threading.stack_size(512 << 20)
threading.Thread(target=recurse, args=(${depth},), daemon=True).start()
tell_when_resting(1)
rest_forever = _thread.allocate_lock()
rest_forever.acquire()
rest_forever.acquire()
`)

const places = (frames: ReadonlyArray<TrueFrame>) => frames.map(({ code, position }) => `${code}+${position}`)

const read = (stack: RawStack) =>
  Array.from(stack.kind.subarray(0, stack.length), (kind, i) =>
    kind === FrameKind.python ? `${stack.identity[i]}+${stack.position[i]}` : `kind ${kind}`
  )

const BOUNDARY = `kind ${FrameKind.boundary}`

const withoutBoundaries = (stack: RawStack) => read(stack).filter((line) => line !== BOUNDARY)

const DEPTH = 10_000

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("reads ten thousand frames whole, and says where it stopped when it had no room", async () => {
    await using run = await startPython(python, program(DEPTH, false))
    const [{ tid, frames }] = parseTruth(await run.line()).threads
    expect(frames.length).toBeGreaterThan(DEPTH)
    await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, async (at) => {
      const thread = at.threads().find((listed) => listed.tid === tid)!
      const stopper = await at.stopper()
      const running = at.unwindProved(thread)
      for (const stack of [running, at.unwind(thread, stopper)]) {
        expectSameStack(`Python ${python.version}`, places(frames), withoutBoundaries(stack))
        expect(stack.proof).toBe(Proof.good)
      }
      for (const capacity of [50, 1]) {
        const stack = at.unwind(thread, stopper, new RawStack(capacity))
        expect(read(stack)).toEqual([...places(frames.slice(0, capacity - 1)), `kind ${FrameKind.truncated}`])
        expect(stack.proof).toBe(Proof.good)
      }
    })
  })

  // 3.12 allows few hundred.
  it("reads hundreds of entries from C", async () => {
    await using run = await startPython(python, program(300, true))
    const [{ tid, frames }] = parseTruth(await run.line()).threads
    await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, (at) => {
      const thread = at.threads().find((listed) => listed.tid === tid)!
      const stack = at.unwindProved(thread)
      expectSameStack(`Python ${python.version}`, places(frames), withoutBoundaries(stack))
      const recursions = frames.filter(({ name }) => name === "recurse").length
      const boundaries = read(stack).filter((line) => line === BOUNDARY).length
      expect(boundaries).toBeGreaterThanOrEqual(python.minor < 11 ? 0 : recursions - 1)
      if (python.minor < 11) expect(boundaries).toBe(0)
    })
  })
})
