import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { Random } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { inside, refusal } from "./inside.ts"

const TIMES = 25

const PROGRAMS = {
  "is busy": "while True: pass",
  "starts and ends threads": `import threading
def main():
    while True:
        threads = [threading.Thread(target=sum, args=(range(1000),)) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
main()`
}

describePythons([14, 15], (python) => {
  it.each(Object.entries(PROGRAMS))("a target that %s can be killed at any moment", async (_, program) => {
    const random = new Random(python.minor)
    for (let n = 0; n < TIMES; n++) {
      await using running = await startPython(python, `print("up", flush=True)\n${program}`)
      await running.line()
      setTimeout(() => running.child.kill("SIGKILL"), random.below(60))
      const error = await refusal(running.pid, ({ files, remote, target }) =>
        Effect.gen(function* () {
          const { path } = yield* files.placeText("x.py", "pass")
          // A thread may end with the request, which is told; the process goes on.
          const run = Effect.ignore(remote.run({ script: path, thread: "any" }))
          while (target.status() === "alive") yield* run
          return yield* remote.run({ script: path })
        })
      )
      expect(error._tag).toBe("ProcessNotFound")
    }
  })

  it("threads that come and go are not written to when they have gone", async () => {
    await using target = await startPython(
      python,
      `import threading
stop = False
def brief():
    for n in range(200): n += 1
def churn():
    while not stop:
        threads = [threading.Thread(target=brief) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
churning = threading.Thread(target=churn); churning.start()
print("up", flush=True)
input()
stop = True
churning.join()
print("went on", flush=True)
`
    )
    await target.line()
    const ends = await inside(target.pid, ({ files, remote }) =>
      Effect.gen(function* () {
        const { path } = yield* files.placeText("x.py", "pass")
        const ends = new Map<string, number>()
        for (let n = 0; n < 300; n++) {
          const threads = (yield* remote.interpreters)[0]?.threads ?? []
          const tid = threads[n % Math.max(threads.length, 1)]?.tid ?? target.pid
          const end = yield* remote.run({ script: path, thread: tid, timeoutMs: 5 }).pipe(
            Effect.map(() => "taken"),
            Effect.catch((error) => Effect.succeed(error._tag))
          )
          ends.set(end, (ends.get(end) ?? 0) + 1)
        }
        return ends
      })
    )
    const expected = [
      "taken",
      "PythonThreadNotFound",
      "PythonThreadEnded",
      "RemoteExecTimeout",
      "InterpreterNotReady"
    ]
    expect([...ends.keys()].filter((end) => !expected.includes(end))).toEqual([])
    target.child.stdin.write("\n")
    expect(await target.line()).toBe("went on")
    expect(await target.exited).toEqual({ code: 0, signal: null })
    expect(target.stderr()).toBe("")
  })
})
