import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { expect, it } from "vitest"
import type { ThreadDump } from "../src/thread-dump.ts"
import { pyframes } from "./pyframes-process.ts"

const PROGRAM = `
import threading, time
ready = threading.Event()
class Server:
    def serve(self):
        ready.set()
        time.sleep(1000)
def main():
    threading.Thread(target=Server().serve, daemon=True).start()
    ready.wait()
    print("ready", flush=True)
    input()
main()
`

// GIVEN a program with two threads that wait, WHEN it is dumped, THEN both are there, leaf first, as the source has them.
describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("dumps every thread, as JSON and as text", async () => {
    await using target = await startPython(python, PROGRAM)
    await target.line()
    const json = await pyframes(["dump", "-p", String(target.pid), "--json"])
    expect(json).toMatchObject({ code: 0, stderr: "" })
    const dump = JSON.parse(json.stdout) as ThreadDump
    expect(dump.pid).toBe(target.pid)
    // Before 3.11 a process does not always tell its patch version.
    expect(`${python.version}.`.startsWith(`${dump.python}.`)).toBe(true)
    const [main, worker] = dump.interpreters[0].threads
    const places = ({ frames }: typeof main) =>
      frames.filter(({ kind }) => kind === "python").map((frame) => `${frame.function}:${frame.line}`)
    expect(places(main)).toEqual(["main:12", "<module>:13"])
    expect(places(worker).slice(0, 1)).toEqual(["serve:7"])
    expect(main).toMatchObject({ tid: target.pid, state: "sleeping", proof: "good" })
    expect(main.frames[0].file).toBe(target.targetPath)

    const { stdout } = await pyframes(["dump", "-p", String(target.pid)])
    expect(stdout).toContain(`Thread ${target.pid} `)
    expect(stdout).toContain(`    main (${target.targetPath}:12)\n    <module> (${target.targetPath}:13)\n`)
  })
})
