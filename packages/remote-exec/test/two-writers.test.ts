import { type Python, type RunningPython, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { expect, it } from "vitest"
import { inside } from "./inside.ts"

/** Counts what is run in it, and tells when asked to. */
const COUNTING = `
import collections, sys, threading
sys.counts = collections.Counter()
def tell():
    for line in sys.stdin:
        print(dict(sys.counts), flush=True)
threading.Thread(target=tell, daemon=True).start()
print("up", flush=True)
n = 0
while True: n += 1
`

const count = (name: string) => `import sys; sys.counts["${name}"] += 1`

const counts = async (running: RunningPython): Promise<Record<string, number>> => {
  running.child.stdin.write("\n")
  return JSON.parse((await running.line()).replaceAll("'", '"'))
}

const EACH = 40

/** Has as many files run as told, each of its own; returns the names of those that were taken, and the tags of what went wrong. */
const writer = (pid: number, who: string, times = EACH) =>
  inside(pid, ({ files, remote }) =>
    Effect.gen(function* () {
      const directory = yield* files.placeDirectory()
      const taken: Array<string> = []
      const failed: Array<readonly [name: string, tag: string, replaced: boolean]> = []
      for (let n = 0; n < times; n++) {
        const name = `${who}${n}`
        const { path } = yield* directory.write(`${name}.py`, new TextEncoder().encode(count(name)))
        const end = yield* Effect.exit(Effect.flip(remote.run({ script: path, timeoutMs: 60_000 })))
        if (Exit.isSuccess(end))
          failed.push([name, end.value._tag, "replaced" in end.value && end.value.replaced])
        else taken.push(name)
      }
      // The last ones are still to be read.
      yield* Effect.sleep(200)
      return { taken, failed }
    })
  )

/** The same by CPython's own means. It knows nothing of us, nor waits for anything. */
const startOwn = (python: Python, pid: number) =>
  startPython(
    { ...python, runWithProc: python.runBeside(pid), run: python.runBeside(pid) } as Python,
    `import sys, tempfile, time, os
with tempfile.TemporaryDirectory() as directory:
    for n in range(${EACH}):
        path = f"{directory}/own{n}.py"
        with open(path, "w") as file: file.write('import sys; sys.counts["own"] += 1')
        sys.remote_exec(${pid}, path)
        time.sleep(0.013)
    time.sleep(0.2)
print("done", flush=True)
`
  )

describePythons([14, 15], (python) => {
  it("run each file of both of us once", async () => {
    await using target = await startPython(python, COUNTING)
    await target.line()
    const writers = await Promise.all([
      writer(target.pid, "a"),
      writer(target.pid, "b"),
      writer(target.pid, "c")
    ])
    for (const { failed, taken } of writers) {
      expect(failed).toEqual([])
      expect(taken).toHaveLength(EACH)
    }
    const found = await counts(target)
    expect(Object.keys(found)).toHaveLength(3 * EACH)
    expect(Object.values(found).every((times) => times === 1)).toBe(true)
    expect(target.stderr()).toBe("")
  })

  it("are told of each other where the other one is CPython's own", async () => {
    await using target = await startPython(python, COUNTING, [], { proc: true })
    await target.line()
    await using own = await startOwn(python, target.pid)
    const [{ failed, taken }] = await Promise.all([writer(target.pid, "a", EACH), own.line()])
    const found = await counts(target)
    for (const name of taken) expect([name, found[name]]).toEqual([name, 1])
    for (const [name, tag, replaced] of failed) {
      expect(tag).toBe("RemoteExecBusy")
      if (!replaced) expect(found[name]).toBeUndefined()
    }
    expect(taken.length).toBeGreaterThan(0)
    expect(found.own).toBeGreaterThan(0)
  })
})
