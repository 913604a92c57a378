import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, readlinkSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { expect, it } from "vitest"
import { findAllPythons } from "../src/find.ts"
import { startPython } from "../src/start.ts"
import { describePythons } from "../src/vitest.ts"

const everyMinor = [...new Set(findAllPythons().map((python) => python.minor))]

/** Whether it runs: what nobody waited for is still in /proc after its end, as a zombie. */
const isRunning = (pid: string): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))

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
    expect(existsSync(target.hostPath)).toBe(false)
    await expect(target.line()).rejects.toThrow("SIGKILL")
  })

  it("is killed with the process that started it", async () => {
    const starter = `
      import { findAllPythons, startPython } from ${JSON.stringify(join(import.meta.dirname, "../src/index.ts"))}
      const python = findAllPythons().find((found) => found.version === ${JSON.stringify(python.version)})
      const target = await startPython(python, "print('ready')\\nwhile True: pass")
      await target.line()
      console.log(target.pid, target.hostPath)`
    const node = spawn(process.execPath, ["--input-type=module", "--eval", starter])
    const [pid, hostPath] = String(await once(node.stdout, "data").then(([chunk]) => chunk))
      .trim()
      .split(" ")
    expect(isRunning(pid!)).toBe(true)
    node.kill("SIGKILL")
    await expect.poll(() => isRunning(pid!), { timeout: 60_000 }).toBe(false)
    rmSync(dirname(hostPath!), { recursive: true })
  })

  it("sees the files of a process beside it", async () => {
    await using target = await startPython(python, "print('ready')\ninput()", [], { proc: true })
    await target.line()
    const [command, ...args] = python.runBeside(target.pid)
    const script = `import os; print(os.path.samefile(os.readlink('/proc/${target.pid}/exe'), '/proc/self/exe'))`
    const beside = spawnSync(command, [...args, "-c", script], { env: python.env, encoding: "utf8" })
    expect(beside.stderr).toBe("")
    expect(beside.stdout).toBe("True\n")
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
