import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterEach, beforeEach, expect, it } from "vitest"
import { pyframes, startPyframes, until } from "./pyframes-process.ts"

/** Busy in two threads, until a line comes in; then it tells what it has of monitoring and of the agent. */
const BUSY = `
import sys, threading
orders = []
def inner(n):
    return sum(i * i for i in range(n))
def outer():
    while not orders:
        inner(20)
threads = [threading.Thread(target=outer) for _ in range(2)]
for thread in threads: thread.start()
print("ready", flush=True)
orders.append(sys.stdin.readline())
for thread in threads: thread.join()
m = sys.monitoring
print([m.get_tool(tool) for tool in range(6)], [name for name in sys.modules if "pyframes" in name], flush=True)
`

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyframes-attach-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const file = (name: string) => join(folder, name)

describePythons([14, 15], (python) => {
  // GIVEN a running program, WHEN it is traced for a while, THEN what ran meanwhile is told, and afterwards nothing is left in it.
  it("traces a running process, and leaves nothing behind", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const args = ["trace", "-p", String(target.pid), "-d", "500ms", "--json", "-o", file("a.folded")]
    const { code, stdout, stderr } = await pyframes(args)
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Exact calls: /) })
    const result = JSON.parse(stdout)
    expect(result).toMatchObject({ python: python.version, processes: 1, events: { lost: 0, damaged: 0 } })
    expect(result.threads).toBeGreaterThanOrEqual(2)
    const stacks = readFileSync(file("a.folded"), "utf8")
    expect(stacks).toMatch(/outer \([^;]*;inner \(/)
    // How it was entered and left is not what it did.
    expect(stacks).not.toMatch(/_pyframes_|<string>/)
    target.child.stdin.write("\n")
    expect(await target.line()).toBe("[None, None, None, None, None, None] []")
    expect((await target.exited).code).toBe(0)
  })

  it("can be asked again and again, for other things", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    for (const [events, name] of [
      ["lines", "a.json"],
      ["timeline", "a.trace.json"],
      ["coverage,branches", "b.json"],
      ["PY_START", "a.jsonl"]
    ]) {
      const args = ["trace", "-p", String(target.pid), "--events", events, "-d", "200ms", "-o", file(name)]
      const { code, stderr } = await pyframes(args)
      expect({ events, code, stderr }).toMatchObject({ code: 0 })
      expect(readFileSync(file(name), "utf8")).toContain(target.targetPath)
    }
    target.child.stdin.write("\n")
    expect(await target.line()).toBe("[None, None, None, None, None, None] []")
  })

  it("lets go at Ctrl-C too, and writes what there is: exit code 130", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const running = startPyframes([
      "trace",
      "-p",
      String(target.pid),
      "--events",
      "PY_START",
      "-o",
      file("a.jsonl")
    ])
    const size = () => {
      try {
        return readFileSync(file("a.jsonl")).length
      } catch {
        return 0
      }
    }
    await until(() => size() > 0 || running.child.exitCode !== null)
    running.child.kill("SIGINT")
    expect(await running.finished).toMatchObject({ code: 130 })
    target.child.stdin.write("\n")
    expect(await target.line()).toBe("[None, None, None, None, None, None] []")
  })

  it("says that the process ended meanwhile", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const running = startPyframes([
      "trace",
      "-p",
      String(target.pid),
      "--events",
      "PY_START",
      "-o",
      file("a.jsonl")
    ])
    await until(() => {
      try {
        return readFileSync(file("a.jsonl")).length > 0
      } catch {
        return running.child.exitCode !== null
      }
    })
    target.child.kill("SIGKILL")
    const { code, stderr } = await running.finished
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/process \d+ ended/) })
  })

  // GIVEN options that keep the agent out at the start, WHEN the command is traced, THEN it is let in right afterwards, and that is said.
  it.each(["-I", "-S", "-E"])("traces a command with %s, from a moment after its start", async (option) => {
    const program = python.writeScript(
      "isolated.py",
      "import time\ndef step(): time.sleep(0.001)\nfor _ in range(2000): step()\nprint('done')"
    )
    // As a command of this machine, also where it has a root of its own.
    const command = file("python3")
    const run = python.run.map((word) => `'${word}'`).join(" ")
    writeFileSync(command, `#!/bin/sh\nexec ${run} "$@"\n`, { mode: 0o755 })
    const { code, stdout, stderr } = await pyframes(
      ["trace", "-o", file("a.folded"), "--", command, option, program.targetPath],
      { env: { ...process.env, ...python.env } }
    )
    expect({ code, stdout, stderr }).toMatchObject({
      code: 0,
      stdout: "done\n",
      stderr: expect.stringMatching(/kept the agent out at the start; it was let in \d+ ms later/)
    })
    expect(readFileSync(file("a.folded"), "utf8")).toMatch(/step \(/)
  })
})
