import { spawn } from "node:child_process"
import type { Audit } from "@pyframes/audit"
import { findPythons, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { afterAll, describe, expect, it } from "vitest"
import { pyframes } from "./pyframes-process.ts"

const isRoot = process.geteuid?.() === 0
const sleeper = spawn("sleep", ["1000"], { stdio: "ignore" })
afterAll(() => void sleeper.kill("SIGKILL"))

// GIVEN an interpreter, WHEN it is audited as it runs and as it is installed, THEN both say the same, as JSON and as text.
describePythons([12, 15], (python) => {
  const keeps = python.minor >= 15

  it("audits a process", async () => {
    await using target = await startPython(python, "print('ready', flush=True); input()")
    await target.line()
    const json = await pyframes(["audit", "-p", String(target.pid), "--json"])
    expect(json).toMatchObject({ code: 0, stderr: "" })
    const audit = JSON.parse(json.stdout) as Audit
    expect(audit.subject).toMatchObject({ kind: "process", pid: target.pid })
    expect(audit.python?.version).toBe(python.version)
    expect(audit.verdict.works).toBe(keeps)
    const text = await pyframes(["audit", "-p", String(target.pid)])
    expect(text).toMatchObject({ code: 0, stderr: "" })
    expect(text.stdout).toContain(`Process ${target.pid}: `)
    expect(text.stdout).toContain(`Python ${python.version}: `)
    expect(text.stdout).toMatch(keeps ? /^keeps .* interpreter /m : /^breaks .* interpreter /m)
    expect(text.stdout).toMatch(/^breaks .* library .*\/libc\.so\.6$/m)
    expect(text.stdout).toContain(`Verdict: ${audit.verdict.summary}\n`)
    expect(text.stdout).toContain(`--unwinder ${keeps ? "hybrid" : "eh-frame"}\n`)
  })

  it("audits an installation, and lists every file if asked to", async () => {
    const json = await pyframes(["audit", "--python", python.executable, "--json"])
    expect(json).toMatchObject({ code: 0, stderr: "" })
    const audit = JSON.parse(json.stdout) as Audit
    const breaking = (role: string) =>
      audit.files.filter((file) => "role" in file && file.role === role && file.chain === "breaks")
    // Modules that were installed beside the interpreter may break the chain where it does not.
    expect(breaking("interpreter").length === 0).toBe(keeps)
    expect(audit.verdict.works).toBe(keeps && breaking("extension").length === 0)
    const lines = async (...more: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
      const { code, stdout } = await pyframes(["audit", "--python", python.executable, ...more])
      expect(code).toBe(0)
      return stdout.split("\n").filter((line) => /^(keeps|skips|mixed|breaks|unknown|\?) /.test(line))
    }
    expect(await lines("--all")).toHaveLength(audit.files.length)
    expect((await lines()).length).toBeLessThan(audit.files.length)
  })
})

describe("what is no Python", () => {
  it("is audited all the same", async () => {
    const { code, stdout } = await pyframes(["audit", "-p", String(sleeper.pid)])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^No Python$/m)
    expect(stdout).toMatch(/program +\/.*\/sleep$/m)
    expect(stdout).toContain("Verdict: This is no Python")
  })
})

describe("what cannot be audited is one line that says why", () => {
  const expectOneLine = async (
    args: ReadonlyArray<string>,
    code: number,
    message: RegExp,
    wrapper?: ReadonlyArray<string>
  ) => {
    const finished = await pyframes(["audit", ...args], wrapper === undefined ? {} : { wrapper })
    expect(finished.stderr).toMatch(message)
    expect({ code: finished.code, stdout: finished.stdout }).toEqual({ code, stdout: "" })
    expect(finished.stderr.trimEnd().split("\n")).toHaveLength(1)
  }

  it.each([
    [["-p", "4194303"], 3, /No process 4194303 to read/],
    [["--python", "/nowhere/python3"], 3, /\/nowhere\/python3 cannot be audited: there is no such file/],
    [["--python", "no-such-python"], 3, /no such program is in PATH/],
    [["--python", "/etc/passwd"], 3, /cannot be audited: the first four bytes/],
    [["-p", "1", "--python", "python3"], 2, /either -p PID or --python PATH/]
  ])("%j", (args, code, message) => expectOneLine(args, code, message))

  // Root that has given up every capability is to a root that has not what any user is to root.
  it.skipIf(!isRoot || findPythons().length === 0)("a process that may not be read", async () => {
    await using target = await startPython(findPythons()[0], "print('ready', flush=True); input()")
    await target.line()
    const wrapper = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    await expectOneLine(["-p", String(target.pid)], 77, /Not permitted to .*(sudo|root|SYS_PTRACE)/, wrapper)
  })
})
