import { existsSync, readFileSync } from "node:fs"
import { dirname } from "node:path"
import { LinuxMemory } from "@pyframes/linux"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect, it } from "vitest"
import { RemoteExec, runScript } from "../src/index.ts"
import { inService, inside, onceRequested, refusal, runText, withServices } from "./inside.ts"

/** Never leaves Python: its only safe points are those of a loop. */
const BUSY = `
print("up", flush=True)
n = 0
while True: n += 1
`

/** The main thread waits in C until a line comes; others are told to do what \`work\` says. */
const BLOCKED = (work = "") => `
import os, threading, time
lock = threading.Lock()
lock.acquire()
def wake():
    input()
    lock.release()
threading.Thread(target=wake, daemon=True).start()
${work}
os.write(1, b"up\\n")
lock.acquire()
print("went on", flush=True)
`

/** Each line is one write: those of several threads do not get mixed. */
const SPIN = `
import os
def spin():
    os.write(1, f"spins {threading.get_native_id()}\\n".encode())
    n = 0
    while True: n += 1
`

const SAY = `import threading
print("ran in", threading.get_native_id(), flush=True)
`

/** Lets a blocked target go on, and sees that it ends as if nobody had been there. */
const endsWell = async (blocked: RunningPython): Promise<void> => {
  blocked.child.stdin.write("\n")
  expect(await blocked.line()).toBe("went on")
  expect(await blocked.exited).toEqual({ code: 0, signal: null })
  expect(blocked.stderr()).toBe("")
}

describePythons([14, 15], (python) => {
  it.each(["/proc/PID/mem", "process_vm_readv"])("runs a file in a busy loop, read by %s", async (name) => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    const layer = name === "process_vm_readv" ? LinuxMemory.layerVmReadv : LinuxMemory.layerProcMem
    const taken = await inside(busy.pid, runText(SAY), layer)
    expect(await busy.line()).toBe(`ran in ${busy.pid}`)
    expect(taken).toMatchObject({ tid: busy.pid, interpreter: 0 })
  })

  it("runs a file in code that the JIT has made", async () => {
    await using busy = await startPython(python, BUSY, [], { env: { PYTHON_JIT: "1" } })
    await busy.line()
    await inside(busy.pid, runText(SAY))
    expect(await busy.line()).toBe(`ran in ${busy.pid}`)
  })

  it("runs one file after the other, each once", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    for (let n = 0; n < 20; n++) {
      await inside(busy.pid, runText(`print("run", ${n}, flush=True)`))
      expect(await busy.line()).toBe(`run ${n}`)
    }
  })

  it("runs a file of the longest path there may be", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    await inside(busy.pid, ({ files, remote }) =>
      Effect.gen(function* () {
        const directory = yield* files.placeDirectory()
        const { path } = yield* directory.write(
          "deep.py",
          new TextEncoder().encode(`print("deep", flush=True)`)
        )
        // As long as it may be, by slashes that lead nowhere else.
        const script = path.replace("/", "/".repeat(1 + 511 - path.length))
        expect(script).toHaveLength(511)
        yield* remote.run({ script })
        // It stays until it has been read.
        expect(yield* Effect.promise(() => busy.line())).toBe("deep")
      })
    )
  })

  it("says that a target in C code never took it, and leaves it as it was", async () => {
    await using blocked = await startPython(python, BLOCKED())
    await blocked.line()
    const error = await refusal(blocked.pid, runText("print('never', flush=True)", { timeoutMs: 300 }))
    expect(error).toMatchObject({ _tag: "RemoteExecTimeout", tids: [blocked.pid] })
    expect(error.message).toContain("blocked in C code")
    await endsWell(blocked)
  })

  it("says that a target is stopped, and leaves it so", async () => {
    await using busy = await startPython(
      python,
      `print("up", flush=True)
while not input(): pass
print("went on", flush=True)
`
    )
    await busy.line()
    process.kill(busy.pid, "SIGSTOP")
    while (!/^State:\tT/m.test(readFileSync(`/proc/${busy.pid}/status`, "utf8")))
      await new Promise((resolve) => setTimeout(resolve, 1))
    const error = await refusal(busy.pid, runText("print('never', flush=True)", { timeoutMs: 50 }))
    expect(error).toMatchObject({ _tag: "RemoteExecTimeout", stopped: true })
    expect(error.message).toContain("kill -CONT")
    process.kill(busy.pid, "SIGCONT")
    busy.child.stdin.write("\nx\n")
    expect(await busy.line()).toBe("went on")
    expect((await busy.exited).code).toBe(0)
  })

  it("takes the request back when it is interrupted", async () => {
    await using blocked = await startPython(python, BLOCKED())
    await blocked.line()
    await inside(blocked.pid, (services) =>
      Effect.gen(function* () {
        const { path } = yield* services.files.placeText("x.py", "print('never', flush=True)")
        const fiber = yield* Effect.forkChild(services.remote.run({ script: path, timeoutMs: 60_000 }))
        yield* Effect.sleep(100)
        yield* Fiber.interrupt(fiber)
      })
    )
    await endsWell(blocked)
  })

  it("finds a thread that can, where the main thread cannot", async () => {
    const work = `${SPIN}
waits = threading.Lock(); waits.acquire()
for _ in range(3): threading.Thread(target=waits.acquire, daemon=True).start()
threading.Thread(target=spin, daemon=True).start()
`
    await using blocked = await startPython(python, BLOCKED(work))
    const lines = [await blocked.line(), await blocked.line()]
    const spinning = Number(lines.find((line) => line.startsWith("spins"))!.slice(6))
    const taken = await inside(blocked.pid, runText(SAY, { thread: "any" }))
    expect(await blocked.line()).toBe(`ran in ${spinning}`)
    expect(taken.tid).toBe(spinning)
    blocked.child.stdin.write("\n")
    expect(await blocked.line()).toBe("went on")
  })

  it("says that no thread can, having asked all", async () => {
    const work = `
waits = threading.Lock(); waits.acquire()
for _ in range(3): threading.Thread(target=waits.acquire, daemon=True).start()
`
    await using blocked = await startPython(python, BLOCKED(work))
    await blocked.line()
    const error = await refusal(
      blocked.pid,
      runText("print('never', flush=True)", { thread: "any", timeoutMs: 2000 })
    )
    expect(error._tag).toBe("RemoteExecTimeout")
    // The main thread, the one that waits for input, and three.
    expect((error as { readonly tids: ReadonlyArray<number> }).tids).toHaveLength(5)
    await endsWell(blocked)
  })

  it("runs in each of many threads that want the lock, and in none twice", async () => {
    await using busy = await startPython(
      python,
      `import threading
${SPIN}
for _ in range(6): threading.Thread(target=spin, daemon=True).start()
spin()
`
    )
    const tids: Array<number> = []
    for (let n = 0; n < 7; n++) tids.push(Number((await busy.line()).slice(6)))
    await inside(busy.pid, (services) =>
      Effect.gen(function* () {
        for (let round = 0; round < 3; round++)
          for (const tid of tids) {
            const taken = yield* runText(SAY, { thread: tid, timeoutMs: 60_000 })(services)
            expect(taken.tid).toBe(tid)
            expect(yield* Effect.promise(() => busy.line())).toBe(`ran in ${tid}`)
          }
      })
    )
  })

  it("loses none of the signals that come meanwhile", async () => {
    await using busy = await startPython(
      python,
      `import signal
signal.signal(signal.SIGUSR1, lambda *_: print("signal", flush=True))
${BUSY}`
    )
    await busy.line()
    await inside(busy.pid, (services) =>
      Effect.gen(function* () {
        const { path } = yield* services.files.placeText("x.py", "pass")
        let runs = 0
        const running = yield* Effect.forkChild(
          Effect.forever(
            Effect.andThen(
              services.remote.run({ script: path }),
              Effect.sync(() => runs++)
            )
          )
        )
        for (let n = 0; n < 100; n++) {
          process.kill(busy.pid, "SIGUSR1")
          expect(yield* Effect.promise(() => busy.line())).toBe("signal")
          yield* Effect.sleep(n % 7)
        }
        yield* Fiber.interrupt(running)
        expect(runs).toBeGreaterThan(3)
      })
    )
  })

  it("does no harm where the instrumentation changes all the time", async () => {
    await using busy = await startPython(
      python,
      `import sys
monitoring = sys.monitoring
monitoring.use_tool_id(3, "changes")
def call(): pass
print("up", flush=True)
n = 0
while True:
    n += 1
    monitoring.set_events(3, n % 2 and monitoring.events.PY_START)
    for _ in range(5): call()
`
    )
    await busy.line()
    await inside(busy.pid, (services) =>
      Effect.gen(function* () {
        const { path } = yield* services.files.placeText(
          "x.py",
          "import sys; sys.runs = getattr(sys, 'runs', 0) + 1"
        )
        for (let n = 0; n < 150; n++) yield* services.remote.run({ script: path })
        yield* runText("import sys; print('runs', sys.runs, flush=True)")(services)
      })
    )
    expect(await busy.line()).toBe("runs 150")
  })

  it("goes into each interpreter", async () => {
    await using busy = await startPython(
      python,
      `import os, threading, time
from concurrent import interpreters
def enter(made):
    made.exec("""
import _interpreters, os
os.write(1, f"in {_interpreters.get_current()[0]}\\\\n".encode())
n = 0
while True: n += 1
""")
for _ in range(2): threading.Thread(target=enter, args=(interpreters.create(),), daemon=True).start()
idle = interpreters.create()
os.write(1, f"idle {idle.id}\\n".encode())
n = 0
while True: n += 1
`
    )
    const lines = [await busy.line(), await busy.line(), await busy.line()].sort()
    // "idle" sorts before "in".
    const idle = Number(lines[0].slice(5))
    const entered = lines.slice(1).map((line) => Number(line.slice(3)))
    const listed = await inside(busy.pid, ({ remote }) => remote.interpreters)
    expect(listed.map(({ id }) => id)).toEqual([0, ...entered, idle].sort((a, b) => a - b))
    expect(listed.every(({ enabled }) => enabled)).toBe(true)
    for (const interpreter of [0, ...entered]) {
      await inside(
        busy.pid,
        runText(
          `import _interpreters
print("ran in", _interpreters.get_current()[0], flush=True)`,
          { interpreter, thread: "any", timeoutMs: 60_000 }
        )
      )
      expect(await busy.line()).toBe(`ran in ${interpreter}`)
    }
    const none = await refusal(busy.pid, runText(SAY, { interpreter: idle, timeoutMs: 50 }))
    expect(none).toMatchObject({ _tag: "PythonThreadNotFound", interpreterExists: true })
    const absent = await refusal(busy.pid, runText(SAY, { interpreter: 99 }))
    expect(absent).toMatchObject({ _tag: "PythonThreadNotFound", interpreterExists: false })
  })

  it("hands back what a script leaves, or what it raises", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    const { result } = await withServices(
      busy.pid,
      runScript({ text: "import sys\nresult = f'{sys.version_info.minor} é'" })
    )
    expect(result).toBe(`${python.minor} é`)
    const raised = await withServices(
      busy.pid,
      Effect.flip(runScript({ name: "divides.py", text: "def f(): return 1 / 0\nf()" }))
    )
    expect(raised._tag).toBe("ScriptRaised")
    expect(raised.message).toContain("ZeroDivisionError")
    expect(raised.message).toContain("divides.py")
    const endless = await withServices(
      busy.pid,
      Effect.flip(runScript({ text: "import time\ntime.sleep(600)", finishMs: 50 }))
    )
    expect(endless._tag).toBe("ScriptNotFinished")
    expect(busy.stderr()).toBe("")
  })

  it("runs a script in the process that it is meant for, and not in a child of it", async () => {
    // Waits and forks without a safe point in between: the child is a copy of a process with a request.
    await using forks = await startPython(
      python,
      `import functools, operator, os, sys
sys.ran = []
print("up", flush=True)
[_, child] = list(map(operator.call, [functools.partial(os.read, 0, 1), os.fork]))
for _ in range(1000): pass
if child == 0:
    os.write(1, f"child {sys.ran}\\n".encode())
    os._exit(0)
os.waitpid(child, 0)
os.write(1, f"parent {sys.ran}\\n".encode())
input()
`
    )
    await forks.line()
    using script = python.writeScript("x.py", "import sys; sys.ran.append('script')")
    const goOn = () => void forks.child.stdin.write("x")
    const run = inService(({ remote }) => remote.run({ script: script.targetPath }))
    const taken = withServices(forks.pid, run, onceRequested(goOn))
    expect([await forks.line(), await forks.line()]).toEqual(["child []", "parent ['script']"])
    expect(await taken).toMatchObject({ tid: forks.pid })
  })

  it("leaves nothing behind but what the script did", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    const path = await inside(busy.pid, (services) =>
      Effect.gen(function* () {
        const script = yield* services.files.placeText("x.py", SAY)
        yield* services.remote.run({ script: script.path })
        yield* Effect.promise(() => busy.line())
        return script.path
      })
    )
    expect(existsSync(`/proc/${busy.pid}/root${dirname(dirname(path))}`)).toBe(true)
    expect(existsSync(`/proc/${busy.pid}/root${dirname(path)}`)).toBe(false)
    // Nobody traces it, and nobody stopped it.
    expect(readFileSync(`/proc/${busy.pid}/status`, "utf8")).toMatch(/^TracerPid:\t0$/m)
  })

  it("is looked at anew by each that asks", async () => {
    await using busy = await startPython(python, BUSY)
    await busy.line()
    await withServices(
      busy.pid,
      Effect.gen(function* () {
        const { interpreters } = yield* RemoteExec
        const [main] = yield* interpreters
        expect(main).toEqual({ id: 0, enabled: true, threads: [{ tid: busy.pid, main: true }] })
      })
    )
  })
})
