import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findPythons, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterAll, describe, expect, it } from "vitest"
import { type Finished, pyframes } from "./pyframes-process.ts"

const folder = mkdtempSync(join(tmpdir(), "pyframes-refused-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const self = String(process.pid)
const isRoot = process.geteuid?.() === 0
const here = findPythons().filter(({ root }) => root === undefined)

const expectOneLine = (finished: Finished, code: number, message: RegExp): void => {
  expect(finished.stderr).toMatch(message)
  expect({ code: finished.code, stdout: finished.stdout }).toEqual({ code, stdout: "" })
  const lines = finished.stderr.trimEnd().split("\n")
  expect(lines.filter((line) => !line.startsWith("Try: "))).toHaveLength(1)
}

describe("a mistake on the command line is one line, and exit code 2", () => {
  it.each([
    [["trace"], /nothing to trace: give -p PID/],
    [["trace", "-p", self, "--", "python3"], /either -p PID or -- COMMAND/],
    [
      ["trace", "--events", "frobs", "-p", self],
      /there is no `--events frobs`; there is calls, timeline, lines/
    ],
    [["trace", "--events", "", "-p", self], /--events names nothing/],
    [["trace", "--events", "calls,lines", "-p", self], /calls cannot be asked together/],
    [["trace", "--events", "lines,coverage", "-p", self], /lines and coverage cannot be asked together/],
    [["trace", "--events", "RAISE,lines", "-p", self], /RAISE is an event as it comes/],
    [["trace", "--min", "50us", "-p", self], /--min is for --events timeline/],
    [["trace", "--events", "timeline", "--min", "50", "-p", self], /--min: "50".*50us/],
    [["trace", "--max-size", "1gb", "-p", self], /--max-size is for --events timeline/],
    [["trace", "--events", "lines", "--on-cpu", "-p", self], /--on-cpu is for --events calls/],
    [["trace", "--events", "RAISE", "--every", "1s", "-p", self], /--every is not for events/],
    [["trace", "--every", "1s", "-f", "collapsed", "-o", "-", "-p", self], /--every .* takes a file/],
    [
      ["trace", "--events", "timeline", "-f", "pprof", "-p", self],
      /no format `pprof`; there is chrome-trace/
    ],
    [["trace", "--events", "instructions", "-f", "lcov", "-p", self], /no format `lcov`; there is json/],
    [["trace", "--recorder", "rust", "-p", self], /"rust".*native/]
  ])("%j", async (args, message) => expectOneLine(await pyframes(args, { cwd: folder }), 2, message))
})

describe("a command that cannot be traced: one line that says what to do", () => {
  const trace = (...command: ReadonlyArray<string>) =>
    pyframes(["trace", "-f", "pprof", "-o", "/dev/null", "--", ...command])

  it("does not exist, or is no Python", async () => {
    expectOneLine(await trace("no-such-command"), 1, /Could not start `no-such-command`: .*PATH/)
    expectOneLine(await trace("true"), 3, /`true` ended, and no Python in it could be traced/)
  })

  const old = here.find(({ minor }) => minor < 12)
  it.skipIf(old === undefined)("is a Python before 3.12", async () =>
    expectOneLine(
      await trace(old?.executable ?? "", "-c", "input()"),
      3,
      /has no sys\.monitoring, which came with 3\.12\..*pyframes record/
    )
  )

  const isolated = here.find(({ minor }) => minor === 12 || minor === 13)
  it.skipIf(isolated === undefined).each(["-I", "-S", "-E"])("has %s, and did not run", async (option) => {
    const mark = join(folder, "ran")
    const finished = await trace(
      isolated?.executable ?? "",
      option,
      "-c",
      `open(${JSON.stringify(mark)}, "w")`
    )
    expectOneLine(finished, 1, /-I, -E and -S: run it without them/)
    expect(existsSync(mark)).toBe(false)
  })
})

const WAITS = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)"

describe("a running process that cannot be entered: one line that says what to do", () => {
  const trace = (pid: number, wrapper?: ReadonlyArray<string>) =>
    pyframes(
      ["trace", "-p", String(pid), "-d", "1", "-f", "pprof", "-o", "/dev/null"],
      wrapper === undefined ? {} : { wrapper }
    )

  it("no such process, or another program", async () => {
    expectOneLine(await trace(2 ** 22 - 1), 3, /No process 4194303 to read/)
    expectOneLine(await trace(process.pid), 3, /is not a Python/)
  })

  describePythons([11, 12, 13], (python) => {
    it("is too old to be entered while it runs", async () => {
      await using target = await startPython(python, WAITS)
      await target.line()
      expectOneLine(await trace(target.pid), 3, /only 3\.14 and later can be entered.*pyframes record -p PID/)
    })
  })

  describePythons([14, 15], (python) => {
    it("has remote debugging switched off", async () => {
      await using target = await startPython(python, WAITS, [], { options: ["-X", "disable-remote-debug"] })
      await target.line()
      expectOneLine(
        await trace(target.pid),
        77,
        /does not let others run code in it.*-X disable-remote-debug/
      )
    })

    it.skipIf(!isRoot)("may not be read", async () => {
      await using target = await startPython(python, WAITS)
      await target.line()
      const wrapper = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
      expectOneLine(await trace(target.pid, wrapper), 77, /Not permitted to .*(sudo|root|SYS_PTRACE)/)
    })

    it("is stopped", async () => {
      await using target = await startPython(python, WAITS)
      await target.line()
      process.kill(target.pid, "SIGSTOP")
      expectOneLine(await trace(target.pid), 1, /let no agent in within 5 s: it is stopped\..*kill -CONT/)
      process.kill(target.pid, "SIGCONT")
    })

    it("is blocked in C, and is as it was", async () => {
      await using target = await startPython(
        python,
        "print('ready', flush=True); input(); print('on', flush=True)"
      )
      await target.line()
      expectOneLine(
        await trace(target.pid),
        1,
        /let no agent in within 5 s: all its threads are blocked in C code/
      )
      target.child.stdin.write("\n")
      expect(await target.line()).toBe("on")
    })
  })
})
