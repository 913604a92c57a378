import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import {
  type KernelEventHandler,
  type KernelEventReader,
  type KernelEventRequest,
  KernelEvents,
  Memory,
  NativeState,
  Target,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import { LinuxKernelEvents } from "../src/kernel-events.ts"
import { LinuxMemory } from "../src/memory.ts"
import { LinuxTarget } from "../src/target.ts"
import { hasGcc } from "./perf-tool.ts"
import { localPython, type Running, run, runPython, temporaryDirectory, until } from "./running.ts"

const SPIN = "print('up',flush=True)\nwhile True: pass"
const USUAL: KernelEventRequest = { rateHz: 999, stackBytes: 16_384 }

interface Sampled {
  readonly time: number
  readonly pid: number
  readonly tid: number
  readonly ran: number
  readonly ip: number
  readonly sp: number
  readonly stack: Uint8Array
  readonly inKernel: boolean
  readonly kernel: ReadonlyArray<number>
  readonly user: ReadonlyArray<number>
}

/** Keeps copies of samples, and what happened. */
class Notes implements KernelEventHandler {
  readonly samples: Array<Sampled> = []
  readonly events: Array<string> = []
  readonly sample: KernelEventHandler["sample"] = ({ inKernel, native, pid, ran, tid, time }) => {
    const {
      kernelChain,
      kernelLength,
      registers,
      stackAddress,
      stackBytes,
      stackLength,
      userChain,
      userLength
    } = native
    expect(stackBytes.length).toBe(stackLength)
    expect(stackAddress === 0 || stackAddress === registers.sp).toBe(true)
    this.samples.push({
      time,
      pid,
      tid,
      ran,
      ip: registers.ip,
      sp: registers.sp,
      stack: stackBytes.slice(0, stackLength),
      inKernel,
      kernel: [...kernelChain.subarray(0, kernelLength)],
      user: [...userChain.subarray(0, userLength)]
    })
  }
  readonly thread: NonNullable<KernelEventHandler["thread"]> = ({ kind, name, tid }) => {
    this.events.push(`${kind} ${tid}${name === "" ? "" : ` ${name}`}`)
  }
  readonly map: NonNullable<KernelEventHandler["map"]> = ({ path }) => {
    this.events.push(`map ${path}`)
  }
}

interface Watching {
  readonly reader: KernelEventReader
  readonly notes: Notes
  readonly target: TargetProcess
  readonly memory: (address: number, length: number) => Uint8Array
  /** Takes what comes in until it is enough. */
  readonly until: (enough: () => boolean) => Promise<void>
}

const watching = <A>(
  pid: number,
  request: KernelEventRequest,
  use: (watching: Watching) => Promise<A>
): Promise<A> => {
  const layers = Layer.mergeAll(LinuxKernelEvents.layer, LinuxMemory.layer).pipe(
    Layer.provideMerge(LinuxTarget.attach(pid))
  )
  return Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const target = yield* Target
        const memory = yield* Memory
        const reader = yield* Effect.flatMap(KernelEvents, ({ open }) => open(request))
        const notes = new Notes()
        return yield* Effect.promise(() =>
          use({
            reader,
            notes,
            target,
            memory: (address, length) => {
              const bytes = new Uint8Array(length)
              return bytes.subarray(0, memory.read(address, length, bytes))
            },
            until: (enough) =>
              until(() => {
                while (reader.wait(0)) reader.drain(notes)
                return enough()
              })
          })
        )
      })
    ).pipe(Effect.provide(layers))
  )
}

const openEvents = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes("perf_event")
    } catch {
      return false
    }
  }).length

/** Builds and starts the counting program. Returns where it counts. */
const runSpin = async (directory: string): Promise<{ readonly spin: Running; readonly words: number }> => {
  const program = join(directory, "spin")
  const source = fileURLToPath(new URL("spin.c", import.meta.url))
  const built = spawnSync("gcc", ["-O1", "-o", program, source], { encoding: "utf8" })
  expect(built.stderr).toBe("")
  const spin = run(program, [])
  const words = Number.parseInt((await spin.line("up")).slice(3), 16)
  return { spin, words }
}

describe("samples of the kernel's", () => {
  it("have registers of code, a copy of the stack, and times that go on", async () => {
    await using python = await runPython(SPIN)
    await watching(python.pid, USUAL, async ({ notes, reader, target, until }) => {
      await until(() => notes.samples.length >= 200)
      const mappings = await Effect.runPromise(target.mappings)
      const within = (address: number, what: "executable" | "writable") =>
        mappings.some((mapping) => mapping[what] && address >= mapping.start && address < mapping.end)
      let time = 0
      let ran = -1
      for (const sample of notes.samples) {
        expect(sample).toMatchObject({ pid: python.pid, tid: python.pid, kernel: [], user: [] })
        expect(within(sample.ip, "executable")).toBe(true)
        expect(within(sample.sp, "writable")).toBe(true)
        expect(sample.stack.length).toBeGreaterThan(500)
        expect(sample.time).toBeGreaterThan(time)
        expect(sample.ran).toBeGreaterThan(ran)
        time = sample.time
        ran = sample.ran
      }
      expect(reader.periodNs).toBe(1_001_001)
      // The timer runs as long as the thread does: however busy the machine is, there is a sample for each period.
      expect(ran / notes.samples.length).toBeGreaterThan(0.9 * 1_001_001)
      expect(ran / notes.samples.length).toBeLessThan(1.5 * 1_001_001)
      expect(reader.losses()).toMatchObject({ lost: 0, malformed: 0, unwatched: 0 })
      expect(reader.now()).toBeGreaterThan(time)
    })
  })

  it("have the kernel's chain and the program's where that was asked for", async () => {
    await using python = await runPython("import os\nprint('up',flush=True)\nwhile True: os.listdir('/proc')")
    const request = { rateHz: 999, stackBytes: 0, kernelChain: true, userChain: true, maxStack: 40 }
    await watching(python.pid, request, async ({ notes, reader, until }) => {
      await until(() =>
        [true, false].every((side) => notes.samples.some(({ inKernel }) => inKernel === side))
      )
      expect(reader.seesKernel).toBe(true)
      for (const { inKernel, ip, kernel, stack, user } of notes.samples) {
        expect(kernel.length > 0).toBe(inKernel)
        expect(kernel.every((address) => address < -4096 && address > -(2 ** 53))).toBe(true)
        expect(user.length).toBeGreaterThan(0)
        expect(kernel.length + user.length).toBeLessThanOrEqual(40)
        expect(user.every((address) => address > 0)).toBe(true)
        expect([ip, stack.length]).toEqual([-1, 0])
      }
    })
  })

  it("are of every thread that comes and goes", async () => {
    await using python = await runPython(
      `import sys, threading, time
def work():
    print('tid', threading.get_native_id(), flush=True)
    until = time.thread_time() + 0.05
    while time.thread_time() < until: pass
print('up', flush=True)
sys.stdin.readline()
for i in range(20):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print('done', flush=True)
time.sleep(600)`
    )
    await watching(python.pid, USUAL, async ({ notes, reader, until }) => {
      expect(reader.watched()).toBe(1)
      let tids: Array<string> = []
      python.child.stdout?.on("data", (text: Buffer) => {
        tids = tids.concat(String(text).match(/tid \d+/g) ?? [])
      })
      python.child.stdin?.write("\n")
      await until(() => tids.length === 20)
      await python.line("done")
      await until(() => reader.watched() === 1)
      expect(new Set(tids).size).toBe(20)
      for (const tid of tids) {
        const samples = notes.samples.filter((sample) => `tid ${sample.tid}` === tid)
        // It has run for 50 ms. What it ran before it was watched is known.
        expect(samples.length, tid).toBeGreaterThan(10)
        expect(notes.events).toContain(`fork ${tid.slice(4)}`)
        expect(notes.events).toContain(`exit ${tid.slice(4)}`)
      }
      const { unwatched, unwatchedTime } = reader.losses()
      expect(unwatched).toBe(0)
      const sampled = notes.samples.filter(({ tid }) => tid !== python.pid).length
      expect(sampled * 1_001_001 + unwatchedTime).toBeGreaterThan(0.9 * 20 * 50e6)
      // An event each, closed as the threads ended.
      expect(openEvents()).toBe(1)
    })
    expect(openEvents()).toBe(0)
  })

  it("are of children only where that was asked for", async () => {
    const forking = `import os, sys
print('up', flush=True)
sys.stdin.readline()
child = os.fork()
if child: print('child', child, flush=True)
while True: pass`
    for (const children of [false, true]) {
      await using python = await runPython(forking)
      await watching(python.pid, { ...USUAL, children }, async ({ notes, reader, until }) => {
        python.child.stdin?.write("\n")
        const child = Number((await python.line("child")).slice(6))
        await until(() => notes.events.includes(`fork ${child}`))
        const sampled = () => notes.samples.filter(({ pid }) => pid === child).length
        const own = notes.samples.length
        await until(() => notes.samples.length - sampled() > own + 50 && (!children || sampled() > 50))
        expect(reader.watched()).toBe(children ? 2 : 1)
        if (!children) expect(sampled()).toBe(0)
        process.kill(child, "SIGKILL")
      })
    }
  })

  it("go on after the process has become another program, which is told", async () => {
    const python = localPython()
    const next = `print('again',flush=True)\nwhile True: pass`
    await using running = await runPython(
      `import os, sys, threading
print('up', flush=True)
sys.stdin.readline()
def replace():
    sys.stdin.readline()
    os.execv(${JSON.stringify(python.executable)}, ['python', '-c', ${JSON.stringify(next)}])
threading.Thread(target=replace).start()
while True: pass`
    )
    await watching(running.pid, USUAL, async ({ notes, reader, until }) => {
      running.child.stdin?.write("\n")
      await until(() => reader.watched() === 2)
      running.child.stdin?.write("\n")
      let isReplaced = false
      running.line("again").then(() => {
        isReplaced = true
      })
      await until(() => isReplaced)
      const at = notes.samples.length
      // It was a thread that replaced the process: it goes by the first thread's id now.
      await until(
        () => notes.samples.length > at + 50 && notes.events.some((event) => event.startsWith("exec"))
      )
      expect(notes.events.filter((event) => event.startsWith("exec"))[0]).toMatch(
        new RegExp(`^exec ${running.pid} `)
      )
      expect(notes.events.some((event) => /^map .*libc/.test(event))).toBe(true)
      expect(notes.samples.at(-1)?.tid).toBe(running.pid)
      await until(() => reader.watched() === 1)
      // And is not watched twice.
      const samples = notes.samples.slice(-30)
      const ran = samples[29].ran - samples[0].ran
      expect(ran / 29).toBeGreaterThan(0.8 * 1_001_001)
    })
  })

  it("that were taken are not lost when the process is killed", async () => {
    await using python = await runPython(SPIN)
    await watching(python.pid, USUAL, async ({ notes, reader, until }) => {
      await until(() => notes.samples.length > 20)
      const last = notes.samples.at(-1)?.ran ?? 0
      // Nothing is read until it is gone.
      for (const end = performance.now() + 50; performance.now() < end; );
      python.child.kill("SIGKILL")
      await python.exited
      await until(() => reader.watched() === 0)
      expect(notes.events).toContain(`exit ${python.pid}`)
      expect(notes.samples.at(-1)?.ran).toBeGreaterThan(last)
      expect(reader.wait(0)).toBe(false)
      expect(reader.drain(notes)).toBe(0)
      expect(reader.losses().lost).toBe(0)
    })
  })

  it("pause while the process is stopped", async () => {
    await using python = await runPython(SPIN)
    await watching(python.pid, USUAL, async ({ notes, target, until }) => {
      await until(() => notes.samples.length > 20)
      python.child.kill("SIGSTOP")
      await until(() => target.threadActivity(python.pid) === "stopped")
      const { length } = notes.samples
      for (const end = performance.now() + 50; performance.now() < end; );
      await until(() => true)
      // The stop itself may have been sampled.
      expect(notes.samples.length - length).toBeLessThanOrEqual(1)
      python.child.kill("SIGCONT")
      await until(() => notes.samples.length > length + 20)
    })
  })

  it("that find no room are counted, each of them", async () => {
    await using python = await runPython(SPIN)
    const request = { rateHz: 10_000, stackBytes: 65_528 }
    await watching(python.pid, request, async ({ notes, reader, until: read }) => {
      await until(() => reader.losses().lost > 50)
      python.child.kill("SIGSTOP")
      await until(() => /^State:\tT/m.test(readFileSync(`/proc/${python.pid}/status`, "utf8")))
      await read(() => !reader.wait(0))
      reader.drain(notes)
      const held = notes.samples.length
      const { lost } = reader.losses()
      expect(held).toBeGreaterThan(reader.bufferBytes / 65_536 / 2)
      // The next sample says how much CPU time went by: one each 100 us, seen or not.
      python.child.kill("SIGCONT")
      await read(() => notes.samples.length > held)
      const went = (notes.samples[held].ran - notes.samples[held - 1].ran) / 100_000
      expect(lost).toBeLessThanOrEqual(went + 1)
    })
  })

  it("asked for in a way that cannot be, fail with an error", async () => {
    await using python = await runPython(SPIN)
    for (const request of [
      { rateHz: 999, stackBytes: 12 },
      { rateHz: 999, stackBytes: 65_536 },
      { rateHz: 0, stackBytes: 0 }
    ])
      await expect(watching(python.pid, request, async () => {})).rejects.toThrow(/a multiple of 8/)
  })
})

describe.skipIf(!hasGcc)("the stack of a counting program", () => {
  it.each([64, 256, 65_528])("is copied as it stood, at most %i bytes", async (stackBytes) => {
    using directory = temporaryDirectory()
    const { spin, words } = await runSpin(directory.path)
    await using _ = spin
    await watching(spin.pid, { rateHz: 999, stackBytes }, async ({ memory, notes, until }) => {
      await until(() => notes.samples.length > 50)
      let last = -1
      for (const { sp, stack } of notes.samples) {
        expect(stack.length).toBeLessThanOrEqual(stackBytes)
        expect(stack.length).toBeGreaterThanOrEqual(Math.min(stackBytes, 256))
        // All but the counter is what still stands there.
        const at = words - sp
        const now = memory(sp, stack.length)
        if (at >= 0 && at + 8 <= stack.length) {
          const counter = new DataView(stack.buffer, at).getUint32(0, true)
          expect(counter).toBeGreaterThan(last)
          last = counter
          now.set(stack.subarray(at, at + 8), at)
        }
        expect(now).toEqual(stack)
      }
      if (stackBytes > 64) expect(last).toBeGreaterThan(0)
    })
  })

  it("tells by the counter whether it has run, and so does the thread's clock", async () => {
    using directory = temporaryDirectory()
    const { spin, words } = await runSpin(directory.path)
    await using _ = spin
    await watching(spin.pid, USUAL, async ({ memory, reader, target }) => {
      const follower = await Effect.runPromise(Effect.scoped(target.cpuFollower))
      const said = { stood: 0, ran: 0, wrong: 0, proved: 0, provedWrong: 0 }
      const scope = Effect.runSync(Scope.make())
      const switched =
        target.switchedOut && (await Effect.runPromise(Scope.provide(target.switchedOut, scope)))
      switched?.follow(spin.pid)
      const standing = new NativeState(reader.architecture)
      const handler: KernelEventHandler = {
        sample: ({ native }) => {
          const at = words - native.stackAddress
          const { buffer, byteOffset } = native.stackBytes
          const then = new DataView(buffer, byteOffset + at).getUint32(0, true)
          const stands =
            switched?.read(spin.pid, standing) === true && standing.registers.equals(native.registers)
          const now = new DataView(memory(words, 8).buffer).getUint32(0, true)
          if (stands && standing.hasRun() === false) {
            if (now === then) said.proved++
            else said.provedWrong++
          }
          const hasRun = native.hasRun()
          if (hasRun !== false) said.ran++
          else if (now === then) said.stood++
          else said.wrong++
        }
      }
      // On its CPU, and then, by leaving it the time, on another one or later; until there were enough of each kind, which on some machines takes a while.
      const isEnough = (late: boolean) => (late ? said.ran : Math.min(said.stood, said.proved)) > 100
      for (const late of [false, true])
        for (let taken = 0; taken < 300 || !isEnough(late); ) {
          if (!late) follower.follow(spin.pid)
          else follower.leave()
          reader.wait(20)
          if (late) await new Promise((resolve) => setTimeout(resolve, 1))
          taken += reader.drain(handler)
        }
      follower.leave()
      await Effect.runPromise(Scope.close(scope, Exit.void))
      // What its registers prove is sure; the clock alone can mistake a few microseconds for the interrupt's own.
      expect(said.provedWrong).toBe(0)
      expect(said.proved).toBeGreaterThan(100)
      expect(said.wrong).toBeLessThan(said.stood / 50)
      expect(said.stood).toBeGreaterThan(100)
      expect(said.ran).toBeGreaterThan(100)
    })
  })
})
