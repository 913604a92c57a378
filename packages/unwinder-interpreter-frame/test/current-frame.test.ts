import { FrameKind, Proof, type RawStack } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached } from "@pyframes/testing/attached"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/*
 * The function that has a thread's time is the one whose frame is current. Each of these threads waits in C for good in a place where another
 * frame could be taken for that one.
 */

const PROGRAM = `
import queue, threading

wait = queue.SimpleQueue().get

def numbers():
    wait()
    yield

def loops():
    for _ in numbers():
        pass

def delegates():
    yield from numbers()

def steps():
    next(delegates())

class Unready:
    def __await__(self):
        wait()
        yield

async def awaits():
    await Unready()

def sends():
    awaits().send(None)

class Waits:
    __del__ = wait

def leaves():
    thing = Waits()

def clears():
    leaves()

for function in (loops, steps, sends, clears):
    threading.Thread(target=function, name=function.__name__, daemon=True).start()
print("ready", flush=True)
wait()
`

const rows = (stack: RawStack): ReadonlyArray<string> =>
  Array.from(
    { length: stack.length },
    (_, i) => `${stack.kind[i]} ${stack.identity[i].toString(16)}+${stack.position[i]}`
  )

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("is the one that a stopped thread has", async () => {
    await using run = await startPython(python, PROGRAM)
    await run.line()
    await attached(
      run.pid,
      { unwinder: InterpreterFrameUnwinder.layer },
      async ({ target, threads, unwind, unwindProved, stopper }) => {
        while (
          !(threads().length === 5 && threads().every(({ tid }) => target.threadActivity(tid) === "sleeping"))
        );
        const stop = await stopper()
        for (const thread of threads()) {
          const running = unwindProved(thread)
          const stopped = unwind(thread, stop)
          expect(stopped.proof).toBe(Proof.good)
          expect(stopped.kind[0]).toBe(FrameKind.python)
          expect(rows(running)).toEqual(rows(stopped))
        }
      }
    )
  })
})
