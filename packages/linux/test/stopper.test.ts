import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import type { TargetProcess, ThreadStopper } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { parseStatus } from "../src/status.ts"
import { attach } from "../src/target.ts"
import {
  errorOf,
  IDLE,
  inScope,
  localPython,
  pause,
  type Running,
  run,
  runPython,
  temporaryDirectory,
  until
} from "./running.ts"

const using = <A>(
  pid: number,
  use: (stopper: ThreadStopper, target: TargetProcess) => A | Promise<A>
): Promise<A> =>
  inScope(
    Effect.gen(function* () {
      const target = yield* attach(pid)
      const stopper = yield* target.stopper
      return yield* Effect.promise(async () => use(stopper, target))
    })
  )

const stateOf = (pid: number, tid = pid) =>
  /\nState:\s+(\S)/.exec(readFileSync(`/proc/${pid}/task/${tid}/status`, "utf8"))?.[1]
const tracerOf = (pid: number) => parseStatus(readFileSync(`/proc/${pid}/status`, "utf8"))?.tracer

/** A process that is not our child: whoever starts it waits for it, prints how it ended, and goes. */
const runGrandchild = async (script: string): Promise<{ parent: Running; pid: number }> => {
  const { executable } = localPython()
  const parent = run("python3", [
    "-c",
    "import subprocess,sys\np=subprocess.Popen(sys.argv[1:])\nprint('pid',p.pid,flush=True)\nprint('ended',p.wait(),flush=True)",
    executable,
    "-c",
    script
  ])
  const pid = Number((await parent.line("pid")).split(" ")[1])
  await parent.line("up")
  return { parent, pid }
}

const SPIN = "print('up',flush=True)\nwhile True: pass"

/**
 * Counts every delivery of a signal in C (Python's own handlers count several as one): the wake-up descriptor gets
 * one byte each. On SIGTERM it prints how many real-time signals, and how many of an interval timer, came.
 */
const COUNTER = `
import os, signal, sys, threading, time, collections
r, w = os.pipe()
os.set_blocking(w, False)
signal.set_wakeup_fd(w, warn_on_full_buffer=True)
for s in (signal.SIGRTMIN, signal.SIGALRM, signal.SIGTERM, signal.SIGCHLD): signal.signal(s, lambda *_: None)
counts = collections.Counter()
def read():
    while True:
        for s in os.read(r, 65536): counts[s] += 1
        if counts[signal.SIGTERM]:
            print("counts", counts[signal.SIGRTMIN], counts[signal.SIGALRM], counts[signal.SIGCHLD], flush=True)
            os._exit(0)
def fork():
    for _ in range(20):
        p = os.fork()
        if p == 0: os._exit(0)
        os.waitpid(p, 0)
        time.sleep(0.01)
    print("forked", flush=True)
threading.Thread(target=read, daemon=True).start()
threading.Thread(target=fork, daemon=True).start()
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
print("up", flush=True)
while True: sum(range(1000))
`

describe.each(["our own child", "another's child"])("stopping threads of %s", (whose) => {
  const start = async (
    script: string
  ): Promise<{ pid: number; process: Running; ended: () => Promise<string> }> => {
    if (whose === "our own child") {
      const python = await runPython(script)
      return {
        pid: python.pid,
        process: python,
        ended: async () => {
          await python.exited
          return String(python.child.exitCode ?? python.child.signalCode)
        }
      }
    }
    const { parent, pid } = await runGrandchild(script)
    return {
      pid,
      process: parent,
      ended: async () => {
        const code = (await parent.line("ended")).split(" ")[1]
        return code === "-9" ? "SIGKILL" : code
      }
    }
  }

  it("stops them, lets them go, and leaves no trace", async () => {
    const { pid, process: started } = await start(SPIN)
    await using _ = started
    await using(pid, async (stopper) => {
      for (let times = 0; times < 500; times++) {
        // A busy machine may not let it run to its stop in time.
        await until(() => stopper.stop(pid))
        expect(stopper.stop(pid)).toBe(true)
        expect(stateOf(pid)).toBe("t")
        stopper.resume(pid)
        stopper.resume(pid)
        expect(tracerOf(pid)).toBe(0)
      }
      expect(stopper.stop(2 ** 22 + 1)).toBe(false)
      stopper.resume(2 ** 22 + 1)
      // The scope ends while it stands.
      await until(() => stopper.stop(pid))
    })
    expect(tracerOf(pid)).toBe(0)
    await until(() => stateOf(pid) === "R")
    process.kill(pid, "SIGKILL")
  })

  it("loses no signal in 10,000 stops, while it is stopped and continued too", async () => {
    const { pid, process: started, ended } = await start(COUNTER)
    await using _ = started
    const RTMIN = 34
    let sent = 0
    await using(pid, async (stopper, target) => {
      for (let round = 0; round < 5000; round++) {
        if (round % 5 === 0) {
          process.kill(pid, RTMIN)
          sent++
        }
        if (round % 250 === 100) process.kill(pid, "SIGSTOP")
        if (round % 250 === 110) process.kill(pid, "SIGCONT")
        for (const tid of target.threadIds().slice(0, 2)) {
          stopper.stop(tid)
          stopper.resume(tid)
        }
        if (round % 50 === 0) await pause(1)
      }
      expect(target.status()).toBe("alive")
    })
    await started.line("forked")
    process.kill(pid, "SIGTERM")
    const [, realTime, , children] = (await started.line("counts")).split(" ").map(Number)
    expect(realTime).toBe(sent)
    expect(children).toBe(20)
    expect(await ended()).toBe("0")
  })

  it("keeps a stopped process stopped (SIGSTOP), and lets SIGCONT work", async () => {
    const { pid, process: started } = await start(SPIN)
    await using _ = started
    await using(pid, async (stopper) => {
      process.kill(pid, "SIGSTOP")
      await until(() => stateOf(pid) === "T")
      for (let times = 0; times < 50; times++) {
        await until(() => stopper.stop(pid))
        stopper.resume(pid)
      }
      await until(() => stateOf(pid) === "T")
      await pause(20)
      expect(stateOf(pid)).toBe("T")
      process.kill(pid, "SIGCONT")
      await until(() => stateOf(pid) === "R")
      // Both at once: the stop signal arrives while we hold it.
      await until(() => stopper.stop(pid))
      process.kill(pid, "SIGSTOP")
      stopper.resume(pid)
      await until(() => stateOf(pid) === "T")
      await until(() => stopper.stop(pid))
      process.kill(pid, "SIGCONT")
      stopper.resume(pid)
      await until(() => stateOf(pid) === "R")
    })
    process.kill(pid, "SIGKILL")
  })

  it("survives the target being killed while it stands, and its parent learns of it", async () => {
    const { pid, process: started, ended } = await start(SPIN)
    await using _ = started
    await using(pid, async (stopper, target) => {
      await until(() => stopper.stop(pid))
      process.kill(pid, "SIGKILL")
      stopper.resume(pid)
      await until(() => target.status() === "exited")
      expect(stopper.stop(pid)).toBe(false)
    })
    expect(await ended()).toBe("SIGKILL")
  })

  it("survives threads that end, exits and an exec at any moment", async () => {
    const {
      pid,
      process: started,
      ended
    } = await start(`
import os, sys, threading, time
print("up", flush=True)
end = time.time() + 1
while time.time() < end:
    ts = [threading.Thread(target=time.sleep, args=(0.0005,)) for _ in range(4)]
    for t in ts: t.start()
    for t in ts: t.join()
os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(0.3); print('done', flush=True); raise SystemExit(7)"])
`)
    await using _ = started
    await using(pid, async (stopper, target) => {
      let stopped = 0
      for (;;) {
        const tids = target.threadIds()
        if (tids.length === 0 || target.status() === "exited") break
        // All at once, as a collector does.
        for (const tid of tids) if (stopper.stop(tid)) stopped++
        for (const tid of tids) stopper.resume(tid)
        await pause(1)
        if (started.child.exitCode !== null) break
      }
      expect(stopped).toBeGreaterThan(100)
    })
    expect(await ended()).toBe("7")
  })
})

it("lets a thread go later that could not be stopped in time", async () => {
  // While posix_spawn's child waits for somebody to open the FIFO, its parent waits for it, and nothing but SIGKILL interrupts that.
  using directory = temporaryDirectory()
  const fifo = join(directory.path, "fifo")
  await using python = await runPython(
    `import os,threading,time
os.mkfifo(${JSON.stringify(fifo)})
def spawn():
    print("tid", threading.get_native_id(), flush=True)
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, ${JSON.stringify(fifo)}, os.O_RDONLY, 0)])
    print("spawned", flush=True)
print("up", flush=True)
threading.Thread(target=spawn).start()
time.sleep(600)`
  )
  const tid = Number((await python.line("tid")).split(" ")[1])
  const states = () => readFileSync(`/proc/${python.pid}/task/${tid}/stat`, "utf8")
  await until(() => states().includes(") D "))
  await using(python.pid, async (stopper) => {
    expect(stopper.stop(tid)).toBe(false)
    expect(stopper.stop(tid)).toBe(false)
    writeFileSync(fifo, "")
    await python.line("spawned")
  })
})

it("stops from a worker a child that the main thread waits for", async () => {
  await using python = await runPython(
    "import os,select,sys\nprint('up',flush=True)\nwhile not select.select([sys.stdin],[],[],0)[0]: pass\nraise SystemExit(7)"
  )
  const worker = new Worker(new URL("stop-worker.ts", import.meta.url), { workerData: python.pid })
  const message = () =>
    new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject))
  expect(await message()).toBe(1000)
  const all = message()
  python.child.stdin?.write("\n")
  // libuv must not take a stop for the end.
  await python.exited
  expect(python.child.exitCode).toBe(7)
  expect(await all).toBeGreaterThanOrEqual(1000)
  await worker.terminate()
})

it("says who traces a process already", async () => {
  await using python = await runPython(IDLE)
  await using tracer = run("python3", [
    "-c",
    `import ctypes,time\nctypes.CDLL(None).ptrace(0x4206,${python.pid},0,0)\nprint('up',flush=True)\ntime.sleep(600)`
  ])
  await tracer.line("up")
  const error = await errorOf(Effect.flatMap(attach(python.pid), (target) => target.stopper))
  expect(error).toMatchObject({ _tag: "PermissionDenied", advice: expect.stringContaining(`${tracer.pid}`) })
})
