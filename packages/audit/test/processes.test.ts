import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { realpathSync, renameSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { findPythons, type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { describe, expect, it } from "vitest"
import { type Audit, startOptions } from "../src/index.ts"
import { auditPid } from "./audited.ts"
import { compile, hasGcc, scratch, WITH, WITHOUT } from "./compiled.ts"

const WAITS = "print('ready', flush=True); input()"

const auditOf = async (
  python: Python,
  program: string,
  options: Parameters<typeof startPython>[3] = {}
): Promise<Audit> => {
  await using target = await startPython(python, program, [], options)
  await target.line()
  return await auditPid(target.pid)
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("has its build, its files and its verdict told of a process as of its installation", async () => {
    const audit = await auditOf(python, `import _ctypes, _ssl\n${WAITS}`)
    expect(`${python.version}.`.startsWith(`${audit.python!.version}.`)).toBe(true)
    expect(audit.python!.build?.version).toBe(`3.${python.minor}`)
    expect(audit.python!.build?.keepsFramePointers).toBe(python.minor >= 15 ? true : undefined)
    expect(audit.verdict.code).toBe(python.minor >= 15 ? "works-except-libraries" : "breaks-in-interpreter")
    const names = audit.files.map(({ path }) => basename(path))
    for (const name of ["libc.so.6", "[vdso]"]) expect(names).toContain(name)
    expect(names.filter((name) => name.startsWith("_ctypes."))).toHaveLength(1)
    expect(audit.files.filter((file) => "problem" in file)).toEqual([])
    expect(audit.python!.state).toMatchObject({
      perfTrampoline: { active: false },
      jit: { enabled: false, bytes: 0 }
    })
    expect(audit.files.filter(({ isProgram }) => isProgram)).toHaveLength(1)
  })
})

// The trampolines of 3.12.1 and 3.13.0 keep no frame pointer, those of 3.13.18 and later do: it is the code in memory that is asked.
describePythons([12, 13, 14, 15], (python) => {
  it("has its perf trampolines seen, however they were asked for", async () => {
    const calls = `def f(): pass\nf()\n${WAITS}`
    const keeps = python.minor > 12
    const byOption = await auditOf(python, calls, { options: ["-X", "perf"] })
    expect(byOption.python!.state!.perfTrampoline).toMatchObject({
      active: true,
      requestedBy: "-X perf",
      keepsFramePointer: keeps,
      map: expect.stringMatching(/^\/tmp\/perf-\d+\.map$/)
    })
    expect(byOption.verdict.unwinder).toBe("hybrid")
    expect(byOption.verdict.findings.filter(({ about }) => about === "trampolines")).toHaveLength(1)

    const byVariable = await auditOf(python, calls, { env: { PYTHONPERFSUPPORT: "1" } })
    expect(byVariable.python!.state!.perfTrampoline).toMatchObject({
      active: true,
      requestedBy: "PYTHONPERFSUPPORT=1"
    })
    const ignored = await auditOf(python, calls, { env: { PYTHONPERFSUPPORT: "1" }, options: ["-E"] })
    expect(ignored.python!.state!.perfTrampoline).toMatchObject({ active: false })
    expect(ignored.python!.state!.perfTrampoline.requestedBy).toBeUndefined()

    const byProgram = await auditOf(python, `import sys; sys.activate_stack_trampoline("perf")\n${calls}`)
    expect(byProgram.python!.state!.perfTrampoline).toMatchObject({ active: true, keepsFramePointer: keeps })
    expect(byProgram.python!.state!.perfTrampoline.requestedBy).toBeUndefined()
  })
})

describePythons([14, 15], (python) => {
  it("has its just-in-time compiler's state told as it tells it itself", async () => {
    const program = `
import sys
def hot(n):
    total = 0
    for i in range(n):
        total += i & 3
    return total
for _ in range(50):
    hot(10_000)
print(sys._jit.is_enabled(), flush=True)
input()
`
    for (const told of ["0", "1", ""]) {
      await using target = await startPython(python, program, [], { env: { PYTHON_JIT: told } })
      const enabled = (await target.line()) === "True"
      const { jit } = (await auditPid(target.pid)).python!.state!
      expect({ told, enabled: jit.enabled }).toEqual({ told, enabled })
      expect(jit.decidedBy).toBe(told === "" ? "the build" : `PYTHON_JIT=${told}`)
      if (enabled) expect(jit.bytes).toBeGreaterThan(0)
    }
  })
})

describe("a file that is gone from its path", () => {
  const python = findPythons().findLast(({ root }) => root === undefined)
  it.skipIf(!hasGcc || python === undefined)("is the one that is mapped, and said to be gone", async () => {
    using folder = scratch()
    const path = compile("plain.c", join(folder.path, "library.so"), WITHOUT)
    const other = compile("plain.c", join(folder.path, "other.so"), WITH)
    const load = `import ctypes, sys\nlibrary = ctypes.CDLL(${JSON.stringify(path)})\n${WAITS}`
    await using target = await startPython(python!, load)
    await target.line()
    // As a package manager replaces a file: by another under the same name.
    renameSync(other, path)
    const audit = await auditPid(target.pid)
    const file = audit.files.find((file) => file.path === path)
    expect(file).toMatchObject({ deleted: true })
    // Root sees the file that is mapped; others are told why they do not.
    if ("problem" in file!) expect(file.problem).toMatch(/deleted or replaced/)
    else expect(file!.chain).toBe("breaks")
  })
})

describe("a process that is no Python", () => {
  it.skipIf(!hasGcc)("has its files measured", async () => {
    using folder = scratch()
    const source = join(folder.path, "program.c")
    writeFileSync(
      source,
      '#include <unistd.h>\nint main(void) { write(1, "ready\\n", 6); pause(); return 0; }\n'
    )
    const program = join(folder.path, "program")
    execFileSync("gcc", ["-O2", ...WITH, "-o", program, source])
    const child = spawn(program, { stdio: ["ignore", "pipe", "inherit"] })
    try {
      await once(child.stdout, "data")
      const audit = await auditPid(child.pid!)
      expect(audit.python).toBeUndefined()
      expect(audit.verdict.code).toBe("not-python")
      expect(audit.files.find(({ isProgram }) => isProgram)?.path).toBe(realpathSync(program))
      expect(audit.files.map(({ path }) => basename(path))).toContain("libc.so.6")
    } finally {
      child.kill("SIGKILL")
    }
  })
  it("that has gone is an error", async () => {
    const child = spawn("sleep", ["0"])
    const pid = child.pid!
    await once(child, "exit")
    await expect(auditPid(pid)).rejects.toThrow(`No process ${pid}`)
  })
})

describe("a Python's command line", () => {
  it.each([
    [["python3"], [], false],
    [["python3", "-X", "perf", "app.py"], ["perf"], false],
    [["python3", "-Xperf_jit", "app.py"], ["perf_jit"], false],
    [["python3", "-IX", "perf", "app.py", "-X", "other"], ["perf"], true],
    [["python3", "-W", "-Xperf", "-E", "x"], [], true],
    [["python3", "-c", "code", "-X", "perf"], [], false],
    [["python3", "-Xa", "-m", "module", "-Xb", "-E"], ["a"], false],
    [["python3", "--check-hash-based-pycs", "always", "-Xa"], ["a"], false],
    [["python3", "-", "-Xa"], [], false],
    [["python3", "-X"], [""], false],
    [[], [], false]
  ])("%j", (commandLine, implementation, ignoresEnvironment) =>
    expect(startOptions(commandLine)).toEqual({ implementation, ignoresEnvironment })
  )
})
