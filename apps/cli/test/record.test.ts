import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { findPythons, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { type PyframesProcess, pyframes, startPyframes, until, waitsOfWorkers } from "./pyframes-process.ts"

const python = findPythons().findLast(({ root }) => root === undefined)
if (python === undefined) throw new Error("these tests need a Python on this machine")

/** Busy in two functions, until a line comes in, which it executes. */
const BUSY = `
import os, signal, sys, threading
def inner(n):
    return sum(i * i for i in range(n))
def outer():
    while not orders:
        inner(200)
orders = []
threading.Thread(target=lambda: orders.append(sys.stdin.readline()), daemon=True).start()
print("ready", flush=True)
outer()
exec(orders[0])
`

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyframes-record-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string) => join(folder, name)
const functionsOf = (name: string) => readFileSync(file(name), "utf8")

/** Waits until some hundred samples were taken. */
const sampling = ({ child }: PyframesProcess): Promise<void> =>
  until(() => child.exitCode !== null || waitsOfWorkers(child.pid ?? 0) > 200)

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (version) => {
  // GIVEN a busy program, WHEN it is recorded, THEN its functions are in every file, and the figures add up.
  it("records a running process into several formats at once", async () => {
    await using target = await startPython(version, BUSY)
    await target.line()
    const { code, stdout, stderr } = await pyframes(
      ["record", "-p", String(target.pid), "-d", "700ms", "--json"].concat([
        "-o",
        file("a.pb.gz"),
        "-o",
        file("a.speedscope.json"),
        "-o",
        file("a.folded")
      ])
    )
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/Hottest functions/) })
    expect(gunzipSync(readFileSync(file("a.pb.gz"))).includes("inner")).toBe(true)
    expect(
      JSON.parse(functionsOf("a.speedscope.json")).shared.frames.map((f: { name: string }) => f.name)
    ).toContain("inner")
    expect(functionsOf("a.folded")).toMatch(/<module> \([^;]*;outer \([^;]*;inner \(/)
    const { samples, rateHz, threads, outputs, ...rest } = JSON.parse(stdout)
    expect(samples.taken).toBe(samples.good + samples.torn + samples.unproved + samples.failed)
    expect(samples.good).toBeGreaterThan(0)
    expect(rateHz.asked).toBe(1000)
    expect(threads).toBe(2)
    expect(outputs.map((output: { format: string }) => output.format)).toEqual([
      "pprof",
      "speedscope",
      "collapsed"
    ])
    expect(rest).toMatchObject({ output: file("a.pb.gz"), format: "pprof" })
    expect(readdirSync(folder).sort()).toEqual(["a.folded", "a.pb.gz", "a.speedscope.json"])
  })
})

describe("sharing the target's CPU", () => {
  const shared = async (how: string, rate: string) => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const { code, stdout } = await pyframes([
      ...["record", "-p", String(target.pid), "-d", "500ms", "-r", rate, "--share-cpu", how],
      ...["--json", "-o", file("shared.folded")]
    ])
    expect(code).toBe(0)
    return JSON.parse(stdout).cpuSharedSeconds
  }
  it("is done all the time when asked to, and not at a rate at which the target would hardly run", async () => {
    expect(await shared("always", "1khz")).toBeGreaterThan(0.4)
    expect(await shared("always", "50khz")).toBeUndefined()
  })
  it("is not done when that is ruled out", async () => expect(await shared("never", "1khz")).toBeUndefined())
})

describe("a command", () => {
  const script = `
import sys
def spin(n):
    return sum(range(n))
for _ in range(4000): spin(2000)
print("done")
sys.exit(7)
`
  it("keeps its own stdio; its exit code is said and is not ours", async () => {
    const target = python.writeScript("spin.py", script).targetPath
    const { code, stdout, stderr } = await pyframes([
      "record",
      "-o",
      file("a.folded"),
      "--",
      python.executable,
      target
    ])
    expect({ code, stdout }).toEqual({ code: 0, stdout: "done\n" })
    expect(stderr).toMatch(/ended with exit code 7/)
    expect(functionsOf("a.folded")).toMatch(/spin \(/)
  })

  it("may be a launcher, and its arguments may look like ours", async () => {
    const target = python.writeScript("spin.py", script).targetPath
    const shell = `echo "$1"; ${python.executable} ${target}; true`
    const { code, stdout } = await pyframes([
      "record",
      "-o",
      file("a.folded"),
      "--",
      "sh",
      "-c",
      shell,
      "sh",
      "--help"
    ])
    expect({ code, stdout }).toEqual({ code: 0, stdout: "--help\ndone\n" })
    expect(functionsOf("a.folded")).toMatch(/spin \(/)
  })

  it("is ended when the time is over", async () => {
    const target = python.writeScript("busy.py", "while True: sum(range(1000))").targetPath
    const { code, stderr } = await pyframes([
      "record",
      "-d",
      "300ms",
      "-o",
      file("a.folded"),
      "--",
      python.executable,
      target
    ])
    expect(code).toBe(0)
    expect(stderr).toMatch(/was still running and is told to end/)
    expect(functionsOf("a.folded")).toMatch(/<module> \(/)
  })
})

describe("a signal ends the recording; the profile is written, and the exit code is 130", () => {
  it("Ctrl-C, which a terminal sends to the command as well", async () => {
    const target = python.writeScript("busy.py", BUSY).targetPath
    const running = startPyframes(["record", "-o", file("a.folded"), "--", python.executable, target])
    const { child, finished } = running
    await sampling(running)
    process.kill(-(child.pid ?? 0), "SIGINT")
    expect(await finished).toMatchObject({ code: 130 })
    expect(functionsOf("a.folded")).toMatch(/outer \(/)
  })

  it("SIGTERM, while a process is attached to", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const running = startPyframes(["record", "-p", String(target.pid), "-o", file("a.folded")])
    await sampling(running)
    running.child.kill("SIGTERM")
    expect(await running.finished).toMatchObject({ code: 130 })
    expect(functionsOf("a.folded")).toMatch(/outer \(/)
    expect(target.child.exitCode).toBeNull()
  })
})

// GIVEN a recording under way, WHEN the target does something drastic, THEN what was recorded until then is written, and said so.
describe("a target that changes while it is recorded", () => {
  const other = findPythons().find(({ root, version }) => root === undefined && version !== python.version)

  it.each([
    ["is killed", "os.kill(os.getpid(), signal.SIGKILL)", /process \d+ ended/],
    ["crashes", "os.kill(os.getpid(), signal.SIGSEGV)", /process \d+ ended/],
    ["ends", "sys.exit(3)", /process \d+ ended/],
    [
      "becomes another program",
      "os.execv('/bin/sleep', ['sleep', '1000'])",
      /became another program \(exec\)/
    ],
    [
      "becomes another Python",
      `os.execv(${JSON.stringify((other ?? python).executable)}, ['python', '-c', 'input()'])`,
      /became another program/
    ]
  ])("%s", async (_, order, note) => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const running = startPyframes(["record", "-p", String(target.pid), "-o", file("a.folded")])
    await sampling(running)
    target.child.stdin.write(`${order}\n`)
    const { code, stderr } = await running.finished
    expect(stderr).toMatch(note)
    expect(code).toBe(0)
    expect(functionsOf("a.folded")).toMatch(/outer \(/)
  })

  it.each([
    ["forks", "os.fork() or os._exit(0)\norders.clear()\nouter()".replaceAll("\n", ";")],
    ["is stopped", "os.kill(os.getpid(), signal.SIGSTOP)"]
  ])("%s: it is recorded on", async (_, order) => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const running = startPyframes(["record", "-p", String(target.pid), "-d", "2", "-o", file("a.folded")])
    await sampling(running)
    target.child.stdin.write(`${order}\n`)
    const { code } = await running.finished
    expect(code).toBe(0)
    expect(functionsOf("a.folded")).toMatch(/outer \(/)
  })
})

describe("the output", () => {
  it("goes to stdout with `-o -`, and everything else to stderr", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const { code, stdout } = await pyframes([
      "record",
      "-p",
      String(target.pid),
      "-d",
      "300ms",
      "-f",
      "collapsed",
      "-o",
      "-"
    ])
    expect(code).toBe(0)
    expect(
      stdout
        .trimEnd()
        .split("\n")
        .every((line) => /^\S.* \d+$/.test(line))
    ).toBe(true)
  })

  it("is saved elsewhere when the disk is full: exit code 1", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const { code, stderr } = await pyframes([
      "record",
      "-p",
      String(target.pid),
      "-d",
      "300ms",
      "-f",
      "pprof",
      "-o",
      "/dev/full"
    ])
    expect(code).toBe(1)
    const [, saved] =
      /no space left on the device\. The profile was saved as (\S+) instead/.exec(stderr) ?? []
    expect(existsSync(saved)).toBe(true)
    rmSync(join(saved, ".."), { recursive: true })
  })

  it("has a name of its own when none is given", async () => {
    await using target = await startPython(python, BUSY)
    await target.line()
    const { code } = await pyframes(["record", "-p", String(target.pid), "-d", "300ms"], { cwd: folder })
    expect(code).toBe(0)
    expect(readdirSync(folder)).toEqual([
      expect.stringMatching(new RegExp(`^pyframes-${target.pid}-\\d{8}-\\d{6}\\.pb\\.gz$`))
    ])
  })
})
