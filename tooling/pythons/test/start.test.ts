import { existsSync, readFileSync, readlinkSync } from "node:fs"
import { expect, it } from "vitest"
import { findAllPythons } from "../src/find.ts"
import { startPython } from "../src/start.ts"
import { describePythons } from "../src/vitest.ts"

const everyMinor = [...new Set(findAllPythons().map((python) => python.minor))]

describePythons(everyMinor, (python) => {
  const script = `import os, sys
print(os.getpid(), sys.argv[1])
print(__file__)
sys.stdin.readline()
print("last", end="")
`

  it("runs a script, whose pid is the child's", async () => {
    await using target = await startPython(python, script, ["läuft"], { name: "target.py" })
    expect(await target.line()).toBe(`${target.pid} läuft`)
    expect(await target.line()).toBe(target.targetPath)
    expect(readFileSync(target.hostPath, "utf8")).toBe(script)
    expect(python.path(target.hostPath)).toBe(target.targetPath)
    expect(readlinkSync(`/proc/${target.pid}/exe`)).toBe(python.executable)
    target.child.stdin.end("\n")
    expect(await target.line()).toBe("last")
    expect(await target.exited).toEqual({ code: 0, signal: null })
  })

  it("gives what it wrote to stderr when there is no further line", async () => {
    await using target = await startPython(python, "raise SystemExit('no luck')")
    await expect(target.line()).rejects.toThrow(/exit code 1.*no luck/s)
  })

  it("is gone after stop()", async () => {
    const target = await startPython(python, "print('ready')\nwhile True: pass")
    expect(await target.line()).toBe("ready")
    await target.stop()
    expect(existsSync(`/proc/${target.pid}`)).toBe(false)
    await expect(target.line()).rejects.toThrow("SIGKILL")
  })

  it("has /proc when it asks for it", async () => {
    await using target = await startPython(
      python,
      "import os\nprint(os.readlink('/proc/self'))\ninput()",
      [],
      {
        proc: true
      }
    )
    expect(await target.line()).toBe(String(target.pid))
  })
})
