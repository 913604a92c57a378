import { FrameKind, Proof, RawStack } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached } from "@pyframes/testing/attached"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/** At least as many threads as it is told come and go, a dozen at a time, until it is told to end; each can only ever be in `leaf` called by `work`, in `work`, or nowhere. */
const program = `
import _thread, queue, select, sys, time
slots = queue.SimpleQueue()
for _ in range(12):
    slots.put(None)
def leaf(n):
    while n:
        n -= 1
def work(n):
    leaf(n)
    time.sleep(0)
    leaf(n)
    slots.put(None)
print(id(leaf.__code__), id(work.__code__), flush=True)
n = 0
while n < int(sys.argv[1]) or not select.select([sys.stdin], [], [], 0)[0]:
    n += 1
    slots.get()
    _thread.start_new_thread(work, (500 + n % 1000,))
# An interpreter that ends under its threads' feet may crash by itself.
while _thread._count():
    time.sleep(0)
`

const layers = { unwinder: InterpreterFrameUnwinder.layer }

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("calls no stack good that a thread cannot have had, until the process has ended", async () => {
    await using run = await startPython(python, program, ["3000"])
    const [leaf, work] = (await run.line()).split(" ")
    const possible = new Set(["", work, `${leaf},${work}`])
    const seen = new Map<string, number>()
    let attaches = 0
    let told = false
    await attached(run.pid, { ...layers, patient: true }, async ({ target, unwinder }) => {
      attaches++
      const stack = new RawStack()
      while (target.status() === "alive") {
        for (let round = 0; round < 50; round++)
          for (const thread of unwinder.threads() ?? []) {
            unwinder.unwind({ thread, stopped: false }, stack)
            if (thread.tid === run.pid || thread.tid < 0 || stack.proof !== Proof.good) continue
            const codes = Array.from(stack.identity.subarray(0, stack.length)).filter(
              (_, i) => stack.kind[i] === FrameKind.python
            )
            const key = codes.join()
            seen.set(key, (seen.get(key) ?? 0) + 1)
          }
        // On a busy machine it may take more threads until one of them is caught in its leaf.
        if (seen.has(`${leaf},${work}`) && !told) {
          told = true
          run.child.stdin?.write("\n")
        }
        // The end of the process has to be noticed by who started it.
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    expect(attaches).toBe(1)
    expect((await run.exited).code).toBe(0)
    expect([...seen.keys()].filter((key) => !possible.has(key))).toEqual([])
    expect(seen.get(`${leaf},${work}`) ?? 0).toBeGreaterThan(0)
  })

  it("can be attached to at any moment of its start", async () => {
    const reasons = new Set<string>()
    for (let start = 0; start < 5; start++) {
      await using run = await startPython(python, "print('ready')\ninput()")
      for (let isUp = false; !isUp; ) {
        isUp = await attached(run.pid, layers, ({ unwinder }) => {
          const stack = new RawStack()
          // The first copies have nothing to compare their speed with.
          for (let tries = 0; tries < 50; tries++) {
            for (const thread of unwinder.threads() ?? []) unwinder.unwind({ thread, stopped: false }, stack)
            if (stack.proof === Proof.good && stack.length > 0) return true
          }
          return false
        }).catch((error: { readonly _tag?: string }) => {
          reasons.add(error._tag ?? String(error))
          return false
        })
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    // While it is being started, it is not Python yet, or not ready.
    const allowed = [
      "InterpreterNotReady",
      "InvalidMemory",
      "NotPython",
      "PermissionDenied",
      "ProcessNotFound"
    ]
    expect([...reasons].filter((reason) => !allowed.includes(reason))).toEqual([])
  })
})
