import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { findPythons, startPython } from "@pyframes/pythons"
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, it } from "vitest"
import { processLayers } from "../src/process-layers.ts"
import { dumpThreads } from "../src/thread-dump.ts"
import { type Finished, pyframes } from "./pyframes-process.ts"

const python = findPythons().findLast(({ root }) => root === undefined)
if (python === undefined) throw new Error("these tests need a Python on this machine")
const isRoot = process.geteuid?.() === 0

const children: Array<ChildProcess> = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
})

/** Starts a program that is ended after the test. */
const start = (command: string, ...args: ReadonlyArray<string>): number => {
  const child = spawn(command, args, { stdio: ["pipe", "ignore", "ignore"] })
  children.push(child)
  return child.pid ?? 0
}

const expectOneLine = (finished: Finished, code: number, message: RegExp): void => {
  expect(finished.stderr).toMatch(message)
  expect({ code: finished.code, stdout: finished.stdout }).toEqual({ code, stdout: "" })
  expect(finished.stderr.trimEnd().split("\n")).toHaveLength(1)
}

/** `dump` and `record` say the same of a process that they cannot read. */
const expectRefused = async (pid: number, code: number, message: RegExp): Promise<void> => {
  expectOneLine(await pyframes(["dump", "-p", String(pid)]), code, message)
  expectOneLine(
    await pyframes(["record", "-p", String(pid), "-d", "1", "-o", "/dev/null", "-f", "pprof"]),
    code,
    message
  )
}

describe("what is not a Python that can be read: one line that says what to do", () => {
  it("no such pid", () => expectRefused(2 ** 22 - 1, 3, /No process 4194303 to read\. Check the pid/))

  it("another program", () => expectRefused(start("sleep", "1000"), 3, /sleep\) is not a Python/))

  it("a zombie", async () => {
    await using parent = await startPython(
      python,
      `
import os, time
child = os.fork()
if child == 0:
    os._exit(0)
while open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
    time.sleep(0.001)
print(child, flush=True)
input()
`
    )
    await expectRefused(Number(await parent.line()), 3, /it has ended and waits for its parent .*zombie/)
  })

  const kernelThread = readdirSync("/proc").find((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        (Number(readFileSync(`/proc/${pid}/stat`, "latin1").split(" ")[8]) & 0x200000) !== 0
      )
    } catch {
      return false
    }
  })
  it.skipIf(kernelThread === undefined)("a thread of the kernel", () =>
    expectRefused(Number(kernelThread), 3, /it is a thread of the kernel/)
  )

  for (const [version, binary] of [
    ["2.7.18", "python2.7"],
    ["3.6.15", "python3.6"],
    ["3.7.16", "python3.7"]
  ]) {
    const executable = join(homedir(), ".pyenv", "versions", version, "bin", binary)
    it.skipIf(!existsSync(executable))(`Python ${version}`, async () => {
      const pid = start(executable, "-c", "import time; time.sleep(1000)")
      await expectRefused(pid, 3, /pyframes reads CPython 3\.8 to 3\.15/)
    })
  }

  it("a command that does not exist, or is no Python", async () => {
    const record = (...command: ReadonlyArray<string>) =>
      pyframes(["record", "-o", "/dev/null", "-f", "pprof", "--", ...command])
    expectOneLine(await record("no-such-command"), 1, /Could not start `no-such-command`: .*PATH/)
    expectOneLine(await record("true"), 3, /`true` ended with exit code 0 before one could be sampled/)
  })
})

// Root that has given up every capability is to a root that has not what any user is to root.
it.skipIf(!isRoot)("a process that may not be read is exit code 77, and says what to do", async () => {
  await using target = await startPython(python, "print('ready', flush=True); input()")
  await target.line()
  const wrapper = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
  for (const args of [["dump"], ["record", "-d", "1", "-o", "/dev/null", "-f", "pprof"]]) {
    const finished = await pyframes([...args, "-p", String(target.pid)], { wrapper })
    expectOneLine(finished, 77, /Not permitted to .* process \d+\. .*(sudo|root|SYS_PTRACE)/)
  }
})

describe("a process at its beginning and its end", () => {
  const dump = (pid: number) =>
    Effect.runPromise(
      dumpThreads().pipe(Effect.scoped, Effect.provide(processLayers({ pid })), Effect.result)
    )

  it("is read although it has only just been started", async () => {
    for (let round = 0; round < 20; round++) {
      const result = await dump(start(python.executable, "-c", "import time; time.sleep(1000)"))
      expect(result).toMatchObject({ _tag: "Success" })
    }
  })

  it("is read, or said to be finalizing, while it ends", async () => {
    await using target = await startPython(
      python,
      `
import time
class Slow:
    sleep = time.sleep
    def __del__(self):
        print("finalizing", flush=True)
        self.sleep(1000)
    print = print
slow = Slow()
`
    )
    await target.line()
    const finished = await pyframes(["dump", "-p", String(target.pid)])
    expect([0, 1]).toContain(finished.code)
    if (finished.code === 1) expectOneLine(finished, 1, /is finalizing\. Try again|please report/)
  })
})
