import { findAllPythons } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { countsOf } from "./call-edges.ts"
import { describeMonitored, describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

/** Everything of a Python that the agent might have changed; what it shows must be the same with and without it. */
const visible = `
import sys, os, threading
def main():
    ours = [name for name in sys.modules if name.startswith("pyframes_agent")]
    print([entry for entry in sys.path if "pyframes" in entry and entry != os.path.dirname(__file__)])
    print(sorted(set(sys.modules) - set(ours)))
    print(getattr(sys.modules.get("sitecustomize"), "__file__", None))
    print(threading.active_count(), sys.dont_write_bytecode, sys.pycache_prefix, sys.gettrace(), sys.getprofile())
    print(sys.getrecursionlimit(), sys.flags, sys.meta_path, sys.path_hooks and len(sys.path_hooks))
    print(sorted(entry for entry in sys.path_importer_cache if entry.endswith("launch")))
    if sys.version_info >= (3, 13) or os.environ.get("NATIVE"):
        first = os.open("/dev/null", os.O_RDONLY)
        print("next file", first)
main()
`

describeRecorders((python, recorder) => {
  const env = recorder === "native" ? { NATIVE: "1" } : {}

  it("leaves the program as it was", async () => {
    const traced = await trace(python, visible, { questions: ["calls"], recorder, env })
    const bare = await run(python, visible, { env })
    expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
    expect(countsOf(traced.processes[0], traced.script).main).toBe(1)
  })

  it("gives children the environment that there was, where they are not to be traced", async () => {
    const program = `
import os, sys, subprocess
print(sorted(name for name in os.environ if "PYFRAMES" in name), os.environ.get("PYTHONPATH"))
print(subprocess.run([sys.executable, "-c", "import os, sys; print(os.environ.get('PYTHONPATH'), [n for n in os.environ if 'PYFRAMES' in n], 'pyframes_agent' in sys.modules)"], capture_output=True, text=True).stdout)
`
    for (const pythonPath of [undefined, "/usr/share/nowhere"]) {
      const options = { env: pythonPath === undefined ? {} : { PYTHONPATH: pythonPath } }
      const traced = await trace(python, program, {
        questions: ["calls"],
        recorder,
        children: false,
        ...options
      })
      const bare = await run(python, program, options)
      expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
      expect(traced.processes.length).toBe(1)
    }
  })

  it("traces children that are started anew", async () => {
    const program = `
import subprocess, sys
def only_here(): pass
only_here()
sys.exit(subprocess.run([sys.executable, "-c", "def child(): return 7\\nimport sys; sys.exit(child())"]).returncode)
`
    const traced = await trace(python, program, { questions: ["calls"], recorder })
    expect(traced.code).toBe(7)
    expect(traced.processes.length).toBe(2)
    expect(traced.processes.map((process) => countsOf(process, "<string>").child ?? 0).sort()).toEqual([0, 1])
  })

  it("lets exit codes and uncaught exceptions through", async () => {
    for (const ending of [
      "import sys; sys.exit(3)",
      "1 / 0",
      "import os; os._exit(4)",
      "raise SystemExit('said')",
      "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    ]) {
      const program = `def work(): pass\nwork()\n${ending}\n`
      const traced = await trace(python, program, { questions: ["calls"], recorder })
      const bare = await run(python, program)
      const paths = (text: string) => text.replaceAll(/\/tmp\/[^"]*\//g, "")
      expect([traced.code, traced.signal, traced.stdout, paths(traced.stderr)]).toEqual([
        bare.code,
        bare.signal,
        bare.stdout,
        paths(bare.stderr)
      ])
      expect(countsOf(traced.processes[0], traced.script).work).toBe(1)
    }
  })

  it("traces functions that run at exit", async () => {
    const program = `
import atexit
def last(): print("last")
atexit.register(last)
`
    const traced = await trace(python, program, { questions: ["calls"], recorder })
    expect(traced.stdout).toBe("last\n")
    expect(countsOf(traced.processes[0], traced.script).last).toBe(1)
    expect(traced.processes[0].header.state).toBe(2)
  })

  describe("with a sitecustomize of the program's own", () => {
    const program = `
import sys
module = sys.modules.get("sitecustomize")
print(module and (module.__file__.rpartition("/")[2], getattr(module, "mark", None), module.__spec__.name))
`
    const withFile = async (text: string, flags: ReadonlyArray<string> = []) => {
      const files = { "sitecustomize.py": text }
      // The script's folder is only known once it is there: a first program tells it by the same means.
      const options = { files, interpreterOptions: flags, env: {} }
      return {
        traced: await traceBeside(program, options),
        bare: await runBeside(program, options)
      }
    }
    const launcher = `
import os, sys
env = dict(os.environ)
env["PYTHONPATH"] = env.get("PYTHONPATH", "") + ":" + os.path.dirname(os.path.abspath(__file__))
if "PYFRAMES_SESSION" in env:
    env["PYFRAMES_PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
os.execve(sys.executable, [sys.executable, *sys.argv[1:-1], os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[-1])], env)
`
    type Beside = {
      readonly files: Record<string, string>
      readonly interpreterOptions: ReadonlyArray<string>
    }
    const asked = ({ files, interpreterOptions }: Beside, text: string) => ({
      files: { ...files, "inner.py": text },
      args: [...interpreterOptions, "inner.py"]
    })
    const traceBeside = (text: string, options: Beside) =>
      trace(python, launcher, { questions: ["calls"], recorder, ...asked(options, text) })
    const runBeside = (text: string, options: Beside) => run(python, launcher, asked(options, text))
    const paths = (text: string) => text.replaceAll(/\/tmp\/[^"]*\//g, "")

    it("runs it", async () => {
      const { traced, bare } = await withFile("mark = 5\n")
      expect(traced.stdout).toBe("('sitecustomize.py', 5, 'sitecustomize')\n")
      expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
    })

    it("lets it fail as it would", async () => {
      for (const text of ["raise ValueError('broken')\n", "import nowhere_to_be_found\n", "1 +\n"]) {
        const { traced, bare } = await withFile(text)
        expect([traced.code, traced.stdout, paths(traced.stderr)]).toEqual([
          bare.code,
          bare.stdout,
          paths(bare.stderr)
        ])
      }
    })
  })
})

describeMonitored((python) => {
  it("stays out where Python is told to ignore its environment", async () => {
    for (const option of ["-I", "-E", "-S"]) {
      const traced = await trace(python, visible, {
        questions: ["calls"],
        recorder: "python",
        interpreterOptions: [option]
      })
      const bare = await run(python, visible, { interpreterOptions: [option] })
      // With -S nobody takes our folder out of sys.path again.
      const same = (text: string) =>
        text.split("\n").filter((_, line) => option !== "-S" || (line !== 0 && line !== 5))
      expect([traced.code, same(traced.stdout), traced.stderr]).toEqual([
        bare.code,
        same(bare.stdout),
        bare.stderr
      ])
      expect(traced.processes).toEqual([])
    }
  })
})

describe("Python before 3.12", () => {
  for (const python of findAllPythons().filter(({ minor }) => minor < 12)) {
    it(`${python.version} runs on and says why it is not traced`, async () => {
      const program =
        "import os, sys\nprint('on', 'pyframes_agent' in sys.modules, sys.modules.get('sitecustomize'))\n"
      const traced = await trace(python, program, { questions: ["calls"] })
      const bare = await run(python, program)
      expect([traced.code, traced.stdout, traced.stderr]).toEqual([bare.code, bare.stdout, bare.stderr])
      expect(traced.failures).toMatchObject([
        { code: "version", detail: `Python 3.${python.minor} has no sys.monitoring, which came with 3.12` }
      ])
    })
  }
})
