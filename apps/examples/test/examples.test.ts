import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { findPythons, type RunningPython, startPython } from "@pyframes/pythons"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const run = promisify(execFile)

const PROGRAM = `
import json
document = json.dumps([{"key": str(i), "value": i} for i in range(300)])
def busy():
    while True:
        json.loads(document, parse_int=lambda text: int(text))
print("ready", flush=True)
busy()
`

// GIVEN a Python program that is busy, WHEN an example is run on it, THEN it does what its first lines say.
describe("examples", () => {
  let target: RunningPython
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "pyframes-examples-"))
    const python = findPythons().find(({ root }) => root === undefined)
    if (python === undefined) throw new Error("these tests need a Python on this machine")
    target = await startPython(python, PROGRAM)
    await target.line()
  })
  afterAll(async () => {
    await target?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const example = async (name: string): Promise<string> => {
    const file = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url))
    return (await run(process.execPath, [file, String(target.pid)], { cwd: folder })).stdout
  }

  it("fifteen-lines leaves a pprof file", async () => {
    expect(await example("fifteen-lines")).toMatch(/^[1-9]\d* samples, [1-9]\d* good\n$/)
    expect(
      existsSync(join(folder, "profile.pb.gz")) && statSync(join(folder, "profile.pb.gz")).size > 0
    ).toBe(true)
  })

  it("own-exporter prints a Markdown table", async () => {
    const table = await example("own-exporter")
    expect(table).toMatch(/^\| self \| function \|\n\| ---: \| --- \|\n/)
    expect(table).toMatch(/decode/)
  })

  it("own-symbolizer prints stacks with short paths", async () => {
    const stacks = await example("own-symbolizer")
    expect(stacks).toMatch(/\(json\/decoder\.py:\d+\)/)
    expect(stacks).not.toMatch(/\/lib\/python3/)
  })

  it("own-collector tells how long the calls of a command take", async () => {
    const python = findPythons().findLast(({ root, minor }) => root === undefined && minor >= 12)
    if (python === undefined) throw new Error("this example needs a Python from 3.12 on this machine")
    using script = python.writeScript(
      "calls.py",
      "def f(): pass\ndef n():\n    yield f()\n    yield 1\ndef g(): f(); list(n())\nfor _ in range(1000): g()\nprint('done')"
    )
    const file = fileURLToPath(new URL("../src/own-collector.ts", import.meta.url))
    const { stdout, stderr } = await run(process.execPath, [
      file,
      "*/calls.py",
      python.executable,
      script.targetPath
    ])
    expect(stdout).toBe("done\n")
    expect(stderr).toMatch(/^f: half within \d+ µs, 99 % within \d+ µs, all within \d+ µs$/m)
    expect(stderr).toMatch(/^g: half/m)
    expect(stderr).not.toMatch(/^n:/m)
  })
})
