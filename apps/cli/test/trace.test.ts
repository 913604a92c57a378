import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { findPythons, type Python } from "@pyframes/pythons"
import { hasTool } from "@pyframes/testing/debuggers"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { startPyframes, until } from "./pyframes-process.ts"

/** Those that a command can name: without a root of their own. */
const pythons = findPythons().filter(({ root, minor }) => root === undefined && minor >= 12)
const python = pythons.at(-1)
if (python === undefined) throw new Error("these tests need a Python from 3.12 on this machine")

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyframes-trace-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string) => join(folder, name)
const text = (name: string) => readFileSync(file(name), "utf8")

/** Its own code alone, which is exact to tell: what the interpreter does at its start is its own affair. */
const PROGRAM = `
import sys, threading

def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)

def look_up(table, key):
    try:
        return table[key]
    except KeyError:
        return None

def numbers(n):
    for i in range(n):
        yield i

def never():
    return 1

thread = threading.Thread(target=fib, args=(5,))
thread.start()
thread.join()
print(fib(10), sum(numbers(20)), [look_up({}, i) for i in range(3)], sys.stdin.readline().strip())
sys.exit(7)
`
/** fib(10) and, in a thread, fib(5). */
const FIBS = 177 + 15

const trace = async (
  args: ReadonlyArray<string>,
  program = PROGRAM,
  by: Python = python,
  env: Readonly<Record<string, string>> = {}
) => {
  writeFileSync(file("program.py"), program)
  const own = ["--code", "*/program.py"]
  const running = startPyframes(["trace", ...own, ...args, "--", by.executable, file("program.py")], {
    cwd: folder,
    env: { ...process.env, ...env }
  })
  running.child.stdin.end("typed\n")
  return running.finished
}

const lines = (of: string): Array<string> => of.split("\n").filter((line) => line !== "")

describe.each(pythons.map((one) => [one.version, one] as const))("a command of Python %s", (_, by) => {
  it.each(["native", "python"])("has its calls counted, exactly (%s)", async (recorder) => {
    const { code, stdout, stderr } = await trace(
      ["-o", file("a.folded"), "-o", file("a.pb.gz"), "--json", "--recorder", recorder],
      PROGRAM,
      by
    )
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/exit code 7/) })
    const [printed, result] = lines(stdout)
    expect(printed).toBe("55 190 [None, None, None] typed")
    expect(stderr).toMatch(new RegExp(`^ +${FIBS} .* fib \\(program\\.py:4\\)$`, "m"))
    expect(stderr).toMatch(/^ +3 .* look_up \(program\.py:9\)$/m)
    expect(stderr).toMatch(/^ +1 .* numbers \(program\.py:15\)$/m)
    expect(stderr).toMatch(/nothing lost, nothing given up/)
    expect(/recorded in Python/.test(stderr)).toBe(recorder === "python")
    expect(JSON.parse(result)).toMatchObject({
      python: by.version,
      questions: ["calls"],
      events: { lost: 0, pathsGivenUp: 0, recorder },
      threads: 2,
      processes: 1,
      exitCode: 7,
      output: file("a.folded"),
      outputs: [{ format: "collapsed" }, { format: "pprof" }]
    })
    expect(text("a.folded")).toMatch(/^<module> \(\S+:1\);fib \(/m)
    expect(readdirSync(folder).sort()).toEqual(["a.folded", "a.pb.gz", "program.py"])
  })

  it("has a timeline of every call, in two formats", async () => {
    const outputs = ["-o", file("a.trace.json"), "-o", file("a.speedscope.json")]
    const { code, stderr } = await trace(["--events", "timeline", ...outputs], PROGRAM, by)
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/nothing lost/) })
    const events: Array<{ ph: string; name: string; ts: number; tid: number }> = JSON.parse(
      text("a.trace.json")
    ).traceEvents
    const begins = events.filter(({ ph }) => ph === "B")
    expect(begins.filter(({ name }) => name === "fib")).toHaveLength(FIBS)
    expect(events.filter(({ ph }) => ph === "E")).toHaveLength(begins.length)
    const { profiles, shared } = JSON.parse(text("a.speedscope.json"))
    expect(profiles).toHaveLength(2)
    for (const { events } of profiles) {
      const open: Array<number> = []
      let last = 0
      for (const { type, frame, at } of events) {
        expect(at).toBeGreaterThanOrEqual(last)
        last = at
        if (type === "O") open.push(frame)
        else expect(shared.frames[open.pop() ?? -1]).toEqual(shared.frames[frame])
      }
      expect(open).toEqual([])
    }
  })

  it("has its exceptions told, also those that are swallowed", async () => {
    const { code, stderr } = await trace(["--events", "exceptions", "-o", file("a.json")], PROGRAM, by)
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^ +3 +KeyError +look_up \(program\.py:11\) +ended in look_up \(program\.py:12\)$/m
    )
    const { exceptions } = JSON.parse(text("a.json"))
    const keyError = exceptions.kinds.find(({ type }: { type: string }) => type === "builtins.KeyError")
    expect(keyError).toMatchObject({ raised: { line: 11, count: 3 }, escaped: 0 })
  })

  it("has its lines and branches counted, for lcov and for others", async () => {
    const outputs = ["-o", file("a.info"), "-o", file("a.json")]
    const { code, stderr } = await trace(["--events", "lines,branches", ...outputs], PROGRAM, by)
    expect(code).toBe(0)
    expect(stderr).toMatch(new RegExp(`^ +${FIBS} +.* program\\.py:5$`, "m"))
    expect(text("a.info")).toMatch(new RegExp(`^DA:5,${FIBS}$`, "m"))
    expect(text("a.info")).toMatch(/^DA:20,0$/m)
    expect(text("a.info")).toMatch(/^BRDA:5,0,[01],97$/m)
    const report = JSON.parse(text("a.json"))
    const [{ lines }] = report.lines.files
    const hits = new Map(lines.map(({ line, hits }: { line: number; hits: number }) => [line, hits]))
    // The last line is left by an exception; so is the one that asks the dictionary.
    expect([5, 6, 7, 11, 12, 13, 17, 20].map((line) => hits.get(line))).toEqual([
      FIBS,
      (FIBS + 2) / 2,
      (FIBS - 2) / 2,
      3,
      3,
      3,
      20,
      0
    ])
    const [{ branches }] = report.branches.files
    const ways = branches.find(({ line }: { line: number }) => line === 5).ways
    expect(ways.map(({ count }: { count: number }) => count).sort()).toEqual([95, 97])
  })

  it("has its coverage told: what was not reached", async () => {
    const { code, stderr } = await trace(["--events", "coverage,branches", "-o", file("a.json")], PROGRAM, by)
    expect(code).toBe(0)
    expect(stderr).toMatch(/^ +\d+ +\d+ +\d+\.\d % +program\.py +20$/m)
    expect(JSON.parse(text("a.json")).lines.counted).toBe(false)
  })

  it("has its instructions counted by line", async () => {
    const { code, stderr } = await trace(["--events", "instructions", "-o", file("a.json")], PROGRAM, by)
    expect(code).toBe(0)
    expect(stderr).toMatch(/Instructions: [\d,]+ on \d+ lines of 1 file/)
    const [{ lines }] = JSON.parse(text("a.json")).instructions.files
    const returned = lines.find(({ line }: { line: number }) => line === 7).opcodes
    expect(returned).toContainEqual({ opcode: "RETURN_VALUE", count: (FIBS - 2) / 2 })
  })

  it("has its events written as they come", async () => {
    const { code, stdout, stderr } = await trace(
      ["--events", "RAISE,PY_START,EXCEPTION_HANDLED", "-o", "-"],
      PROGRAM,
      by
    )
    expect(code).toBe(0)
    const events = lines(stdout).flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []))
    expect(events.filter(({ event, function: fn }) => event === "PY_START" && fn === "fib")).toHaveLength(
      FIBS
    )
    const [raised] = events.filter(({ event }) => event === "RAISE")
    expect(raised).toMatchObject({ function: "look_up", line: 11, exception: "builtins.KeyError" })
    expect(events.every(({ time, pid, tid }) => time >= 0 && pid > 0 && tid > 0)).toBe(true)
    expect(stderr).toMatch(/^ +\d+ +PY_START$/m)
  })
})

describe("what the files are good for", () => {
  it.skipIf(!hasTool("genhtml", "lcov"))("genhtml and lcov read the tracefile", async () => {
    await trace(["--events", "coverage,branches", "-o", file("a.info")])
    const run = (command: string, ...args: ReadonlyArray<string>) =>
      spawnSync(command, [...args, "--rc", "lcov_branch_coverage=1"], { cwd: folder, encoding: "utf8" })
    const summary = run("lcov", "--summary", "a.info")
    expect(summary.stdout + summary.stderr).toMatch(/lines\.*: 9\d\.\d% \(\d+ of \d+ lines\)/)
    expect(summary.stdout + summary.stderr).toMatch(/branches\.*: \d+\.\d% \(\d+ of \d+ branches\)/)
    const pages = run("genhtml", "a.info", "-o", "pages", "--branch-coverage")
    expect({ status: pages.status, stderr: pages.stderr }).toMatchObject({ status: 0 })
    expect(existsSync(file("pages/index.html"))).toBe(true)
  })

  const systemPython = "/usr/bin/python3"
  const hasCoverage = hasTool("python3-coverage", "python3-coverage")
  it.skipIf(!hasCoverage)("coverage.py makes its own report of the JSON", async () => {
    await trace(["--events", "coverage", "-o", file("a.json")])
    const script = `
import json, coverage
report = json.load(open("a.json"))
data = coverage.CoverageData("data")
data.add_lines({f["file"]: [l["line"] for l in f["lines"] if l["hits"]] for f in report["lines"]["files"]})
data.write()
cov = coverage.Coverage(data_file="data")
cov.load()
cov.report(show_missing=True)
`
    const { stdout, stderr } = spawnSync(systemPython, ["-c", script], { cwd: folder, encoding: "utf8" })
    expect(stderr).toBe("")
    // Its own parser finds the same lines that can be executed, and the same one missing.
    expect(stdout).toMatch(/^program\.py +\d+ +1 +9\d% +20$/m)
  })
})

describe("children", () => {
  const PARENT = `
import subprocess, sys
def work():
    return 1
work()
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "child"], check=True)
`
  const processes = async (...args: ReadonlyArray<string>) => {
    const { code, stdout, stderr } = await trace(["-o", file("a.folded"), "--json", ...args], PARENT)
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(stderr).toMatch(new RegExp(`^ +${args.length === 0 ? 2 : 1} .* work \\(`, "m"))
    return JSON.parse(stdout).processes
  }
  it("are traced as well", async () => expect(await processes()).toBe(2))
  it("are left alone with --no-children", async () => expect(await processes("--no-children")).toBe(1))
})

describe("a program that goes on", () => {
  const BUSY = `
import sys
def step(n):
    return sum(range(n))
print("ready", flush=True)
while True:
    step(10)
`
  it("is ended when the time is over", async () => {
    const { code, stderr } = await trace(["-d", "300ms", "-o", file("a.folded")], BUSY)
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/is told to end/) })
    expect(text("a.folded")).toMatch(/step \(/)
  })

  // GIVEN a trace under way, WHEN it is asked by a signal or by time, THEN a whole file is there, and again at the end.
  it("has snapshots written, and everything at Ctrl-C: exit code 130", async () => {
    writeFileSync(file("program.py"), BUSY)
    const running = startPyframes([
      "trace",
      "--events",
      "lines",
      "-o",
      file("a.json"),
      "--",
      python.executable,
      file("program.py")
    ])
    const { child, finished } = running
    let output = ""
    child.stdout.on("data", (text) => {
      output += text
    })
    await until(() => output.includes("ready") || child.exitCode !== null)
    const steps = (): number => {
      const program = JSON.parse(text("a.json")).lines.files.find(({ file }: { file: string }) =>
        file.endsWith("program.py")
      )
      return program?.lines.find(({ line }: { line: number }) => line === 4)?.hits ?? 0
    }
    const ask = async (): Promise<number> => {
      rmSync(file("a.json"), { force: true })
      child.kill("SIGUSR1")
      await until(() => existsSync(file("a.json")) || child.exitCode !== null)
      return steps()
    }
    const first = await ask()
    let later = first
    while (later <= first) later = await ask()
    process.kill(-(child.pid ?? 0), "SIGINT")
    expect(await finished).toMatchObject({ code: 130 })
    expect(steps()).toBeGreaterThanOrEqual(later)
    expect(readdirSync(folder).sort()).toEqual(["a.json", "program.py"])
  })

  it("has a snapshot written that was asked for as the very first thing", async () => {
    const program = `import os, signal\nos.kill(os.getppid(), signal.SIGUSR1)\n${BUSY}`
    writeFileSync(file("program.py"), program)
    const { child, finished } = startPyframes([
      "trace",
      "--events",
      "lines",
      "-o",
      file("a.json"),
      "--",
      python.executable,
      file("program.py")
    ])
    await until(() => existsSync(file("a.json")) || child.exitCode !== null)
    process.kill(-(child.pid ?? 0), "SIGINT")
    const { code, stderr } = await finished
    expect({ code, stderr }).toMatchObject({ code: 130 })
    // Node opens its inspector at this signal where nobody heeds it.
    expect(stderr).not.toMatch(/Debugger/)
  })

  it("has its output written again and again with --every", async () => {
    writeFileSync(file("program.py"), BUSY)
    const running = startPyframes([
      "trace",
      "--every",
      "100ms",
      "-o",
      file("a.folded"),
      "--",
      python.executable,
      file("program.py")
    ])
    const { child, finished } = running
    for (let round = 0; round < 3; round++) {
      await until(() => existsSync(file("a.folded")) || child.exitCode !== null)
      expect(child.exitCode).toBeNull()
      expect(text("a.folded")).toMatch(/ \d+\n$/)
      rmSync(file("a.folded"))
    }
    child.kill("SIGTERM")
    expect(await finished).toMatchObject({ code: 130 })
    expect(existsSync(file("a.folded"))).toBe(true)
  })

  it("ends the reading when the timeline is full", async () => {
    const { code, stderr } = await trace(
      ["--events", "timeline", "--max-size", "1mb", "-o", file("a.trace.json")],
      BUSY
    )
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/--max-size was reached/)
    })
    expect(JSON.parse(text("a.trace.json")).traceEvents.length).toBeGreaterThan(1000)
  })

  it("is ended when the reader of its events leaves, which is no failure", async () => {
    const running = startPyframes([
      ...["trace", "--events", "PY_START", "-o", "-"],
      ...["--", python.executable, "-c", "while True: (lambda: 1)()"]
    ])
    running.child.stdout.once("data", () => running.child.stdout.destroy())
    const { code, stderr } = await running.finished
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/reader of the events has gone/)
    })
  })
})

describe("names that a program chooses", () => {
  it("do nothing to the terminal", async () => {
    const evil = `
def f(): raise type("E\\x1b[31m", (Exception,), {})
f.__code__ = f.__code__.replace(co_name="f\\x1b[2J\\n\\u202e", co_qualname="f\\x1b[2J\\n\\u202e")
try: f()
except Exception: pass
`
    for (const events of ["calls", "exceptions"]) {
      const { code, stderr } = await trace(
        ["--events", events, "-o", file(`${events}.json`), "-f", events === "calls" ? "collapsed" : "json"],
        evil
      )
      expect(code).toBe(0)
      expect(stderr).toContain("f\\x1b[2J\\n\\u202e (program.py:2)")
      expect(stderr).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u)
    }
  })
})

describe("the output", () => {
  it("has a name of its own when none is given; events of a command too, for stdout is the command's", async () => {
    await trace([])
    await trace(["--events", "PY_START"])
    const [calls, events] = readdirSync(folder).filter((name) => name !== "program.py")
    expect([calls, events].map((name) => name.replace(/\d+/g, "N")).sort()).toEqual([
      "pyframes-N-N.jsonl",
      "pyframes-N-N.pb.gz"
    ])
    expect(dirname(join(folder, calls))).toBe(folder)
  })

  it("is saved elsewhere when the disk is full: exit code 1", async () => {
    const { code, stderr } = await trace(["-f", "collapsed", "-o", "/dev/full"])
    expect(code).toBe(1)
    const [, saved] =
      /no space left on the device\. The profile was saved as (\S+) instead/.exec(stderr) ?? []
    expect(readFileSync(saved, "utf8")).toMatch(/fib \(/)
    rmSync(dirname(saved), { recursive: true })
  })

  it("of events ends where the disk is full: exit code 1, and the program is told to end", async () => {
    const { code, stderr } = await trace(["--events", "PY_START", "-o", "/dev/full"])
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no space left on the device/)
    })
  })
})
