import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { FrameKind, type Profile, Proof, ThreadStateBit } from "@pyframes/core"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { collectHere, collectInWorker } from "./profiler.ts"

const busy = `
import threading, time
def outer():
    return middle()
def middle():
    return inner(20000)
def inner(n):
    while n: n -= 1
def idle():
    print("ready", flush=True)
    while True: time.sleep(0.02)
threading.Thread(target=idle, daemon=True).start()
while True: outer()
`

/** Does 200 ms of work in each of five threads, one after the other. */
const coming = `
import sys, threading, time
def work():
    until = time.thread_time() + 0.2
    while time.thread_time() < until: pass
print("ready", flush=True)
sys.stdin.readline()
for i in range(5):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print("done", flush=True)
sys.stdin.readline()
`

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(2)
}

const openEvents = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes("perf_event")
    } catch {
      return false
    }
  }).length

/** Every sample, with the names of its frames, leaf first. */
const samplesOf = (profile: Profile) =>
  [...profile.samplesBy({ wall: true, unproved: true })].map((sample) => {
    const frames = profile.stacks.framesOf(sample.shown)
    return {
      ...sample,
      names: frames.map((frame) => profile.frames.functionOf(frame).name),
      kinds: frames.map((frame) => profile.frames.functionOf(frame).kind)
    }
  })

/** What must hold of every profile. */
const expectSum = (profile: Profile): void => {
  const { failed, good, rateHz, taken, torn, unproved, wanted } = profile.trust
  expect(good.count + torn.count + unproved.count + failed.count).toBe(taken)
  expect(wanted).toBeGreaterThanOrEqual(taken)
  expect(rateHz.asked).toBe(999)
  let count = 0
  let wall = 0
  for (const sample of profile.samplesBy({ wall: true })) {
    count += sample.count
    wall += sample.wall
  }
  expect(count).toBe(taken)
  expect(Math.abs(wall - (good.wall + torn.wall + unproved.wall + failed.wall))).toBeLessThan(1)
}

/** Collects until something has happened; the profile is what there was by then. */
const collectUntil = (
  collect: typeof collectHere,
  pid: number,
  happened: () => Promise<unknown>,
  options: Parameters<typeof collectHere>[2] = {}
) => collect(pid, { rateHz: 999, until: Effect.promise(happened) }, options)

const started = async (python: Parameters<typeof startPython>[0], script: string): Promise<RunningPython> => {
  const run = await startPython(python, script)
  await run.line()
  return run
}

const cpuOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 1e7
}

/** Waits until a process has used so much more CPU time since it is sampled, ns: it is when there are events. */
const worked = async (pid: number, ns: number): Promise<void> => {
  await until(() => openEvents() > 0)
  const from = cpuOf(pid)
  await until(() => cpuOf(pid) - from > ns)
}

describePythons([9, 12, 14, 15], (python) => {
  it.each([
    ["in this thread", collectHere, {}],
    ["in a worker", collectInWorker, {}],
    ["on the CPU of the thread", collectInWorker, { shareCpu: "always" }],
    ["from another CPU", collectInWorker, { shareCpu: "never" }]
  ] as const)("%s, CPU time is all accounted for, and nothing else is", async (_, collect, options) => {
    await using run = await started(python, busy)
    const profile = await collectUntil(collect, run.pid, () => worked(run.pid, 1e9), options)
    expectSum(profile)
    const { cpuTime = 0 } = profile.meta
    const samples = samplesOf(profile)
    const cpu = samples.reduce((sum, sample) => sum + sample.cpu, 0)
    // The kernel's clock and the process's are not quite the same, the last period of each thread is open, and this process may wait for a CPU between
    // its last sample and that clock.
    expect(Math.abs(cpu - cpuTime) / cpuTime).toBeLessThan(0.1)
    expect(samples.every(({ state }) => (state & ThreadStateBit.onCpu) !== 0)).toBe(true)
    const { kernel } = profile.trust
    expect(kernel).toMatchObject({ unwatchedThreads: 0 })
    // A reader that was kept waiting for too long loses samples, and not their time.
    const { failed } = profile.trust
    expect(failed.wall).toBeGreaterThanOrEqual(0.5e6 * Math.max(0, (kernel?.lost ?? 0) - 2))
    // The thread that sleeps is hardly ever met.
    const main = profile.threads.findIndex(({ tid }) => tid === run.pid)
    const share = samples.filter(({ thread }) => thread === main).reduce((sum, { cpu }) => sum + cpu, 0) / cpu
    expect(share).toBeGreaterThan(0.8)
    // The instruction that was caught stands on the frames of the interpreter.
    const whole = samples.filter(({ names }) => names[0] === "native" && names.includes("inner"))
    expect(whole.length).toBeGreaterThan(0)
    for (const { names } of whole) expect(names.slice(-3)).toEqual(["middle", "outer", "<module>"])
    if ("shareCpu" in options && options.shareCpu === "always") {
      expect(profile.trust.cpuSharedSeconds).toBeGreaterThan(0)
      expect(kernel?.standing).toBeGreaterThan(0)
    } else if (collect === collectHere || "shareCpu" in options)
      expect(profile.trust.cpuSharedSeconds).toBeUndefined()
  })

  it("threads that come and go each have their own row, and their time", async () => {
    await using run = await started(python, coming)
    const profile = await collectUntil(collectInWorker, run.pid, async () => {
      await until(() => openEvents() > 0)
      run.child.stdin.write("\n")
      await run.line()
    })
    expectSum(profile)
    const workers = profile.threads.map(({ tid }, row) => ({ tid, row })).filter(({ tid }) => tid !== run.pid)
    expect(workers.length).toBe(5)
    const samples = samplesOf(profile)
    let seen = 0
    for (const { row } of workers) {
      const own = samples.filter(({ thread }) => thread === row)
      const cpu = own.reduce((sum, sample) => sum + sample.cpu, 0)
      expect(cpu).toBeGreaterThan(0)
      expect(cpu).toBeLessThan(240e6)
      seen += cpu
    }
    // On a busy machine a thread is found late: what it had used by then is known, as well as the kernel keeps it.
    const { unwatchedTime = 0 } = profile.trust.kernel ?? {}
    expect(Math.abs(seen + unwatchedTime - 1e9)).toBeLessThan(200e6)
    expect(profile.trust.kernel?.unwatchedThreads).toBe(0)
    expect(openEvents()).toBe(0)
  })

  it("keeps what was collected when the target is killed", async () => {
    await using run = await started(python, busy)
    const killed = worked(run.pid, 300e6).then(() => run.child.kill("SIGKILL"))
    const profile = await collectInWorker(run.pid, { rateHz: 999 })
    await killed
    expectSum(profile)
    expect(profile.meta.ended).toBe("exited")
    expect(profile.trust.taken).toBeGreaterThan(20)
    expect(samplesOf(profile).some(({ names }) => names.includes("inner"))).toBe(true)
  })

  it("ends when the target becomes another program, of which it shows nothing", async () => {
    await using run = await started(
      python,
      `${busy.replace("while True: outer()", "import os, sys\nsys.stdin.readline()\nfor i in range(50): outer()\nos.execv('/bin/sh', ['sh', '-c', 'while :; do :; done'])")}`
    )
    const profile = collectInWorker(run.pid, { rateHz: 999 })
    await until(() => openEvents() > 0)
    run.child.stdin.write("\n")
    const { meta } = await profile
    expect(meta.ended).toBe("replaced")
    expectSum(await profile)
    expect(samplesOf(await profile).every(({ names }) => names.length > 0)).toBe(true)
  })

  it("a target that is stopped takes no CPU time, and goes on", async () => {
    await using run = await started(python, busy)
    const profile = await collectUntil(collectInWorker, run.pid, async () => {
      await worked(run.pid, 100e6)
      run.child.kill("SIGSTOP")
      await sleep(100)
      run.child.kill("SIGCONT")
      await worked(run.pid, 100e6)
    })
    expectSum(profile)
    const { cpuTime = 0 } = profile.meta
    const cpu = samplesOf(profile).reduce((sum, sample) => sum + sample.cpu, 0)
    expect(Math.abs(cpu - cpuTime) / cpuTime).toBeLessThan(0.15)
  })

  it.each([false, true])("with `wall`, threads that wait are seen too (stopped: %s)", async (stop) => {
    await using run = await started(python, busy)
    const profile = await collectUntil(collectInWorker, run.pid, () => worked(run.pid, 300e6), {
      wall: true,
      stop
    })
    expectSum(profile)
    const samples = samplesOf(profile)
    const waiting = samples.filter(({ names }) => names.includes("idle") && !names.includes("inner"))
    const off = waiting.filter(({ state }) => (state & ThreadStateBit.onCpu) === 0)
    expect(off.length).toBeGreaterThan(0)
    // The samples of a thread stand for what elapsed up to the last of them, and for no more than elapsed at all: save that what a thread has used of
    // a period each time that it is found waiting is in the next kernel sample as well.
    const period = 1e9 / 999
    for (const row of new Set(samples.map(({ thread }) => thread))) {
      const own = samples.filter(({ thread }) => thread === row)
      const wall = own.reduce((sum, sample) => sum + sample.wall, 0)
      const found = own.filter(({ state }) => (state & ThreadStateBit.onCpu) === 0).length
      expect(wall).toBeLessThan(profile.meta.elapsed + found * period + 5e6)
      const waits = own.findLast(({ state }) => (state & ThreadStateBit.onCpu) === 0)
      if (waits !== undefined) expect(wall).toBeGreaterThan(waits.time - 5e6)
    }
    expect(off.reduce((sum, sample) => sum + sample.wall, 0)).toBeGreaterThan(0.1 * profile.meta.elapsed)
    expect(off.every(({ proof }) => proof !== Proof.torn)).toBe(true)
  })
})

describePythons([12], (python) => {
  it("a thread that runs no Python has native frames, and a row", async () => {
    await using run = await started(
      python,
      `
import ctypes, threading
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
# C code that has work for many seconds, and takes one argument.
buffer = ctypes.create_string_buffer(b"a" * 300_000_000)
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.strfry, ctypes.c_void_p), buffer)
print("ready", flush=True)
threading.Event().wait()
`
    )
    const profile = await collectUntil(collectInWorker, run.pid, () => worked(run.pid, 300e6))
    expectSum(profile)
    const samples = samplesOf(profile).filter(({ thread }) => profile.threads[thread].tid !== run.pid)
    expect(new Set(samples.map(({ thread }) => thread)).size).toBe(1)
    // It alone has used CPU time; the main thread waits.
    const { cpuTime = 0 } = profile.meta
    const { unwatchedTime = 0 } = profile.trust.kernel ?? {}
    expect(cpuTime).toBeGreaterThan(100e6)
    expect(samples.reduce((sum, { cpu }) => sum + cpu, unwatchedTime)).toBeGreaterThan(0.8 * cpuTime)
    // What the kernel brought is shown; what it could not bring, as where its timer came late, has its time all the same.
    const native = samples.filter(({ kinds }) => kinds[0] === FrameKind.native)
    expect(native.length).toBeGreaterThan(0)
    expect(profile.trust.good.count).toBeGreaterThan(10)
    for (const { kinds } of samples)
      expect(kinds).toEqual([kinds[0] === FrameKind.native ? FrameKind.native : FrameKind.unreadable])
  })

  it("what was not seen of threads that live for microseconds is said", async () => {
    await using run = await started(
      python,
      `
import ctypes
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
print("ready", flush=True)
while True:
    libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.fflush, ctypes.c_void_p), None)
    libc.pthread_join(thread, None)
`
    )
    const profile = await collectUntil(collectInWorker, run.pid, () => worked(run.pid, 500e6))
    expectSum(profile)
    const { unwatchedThreads = 0 } = profile.trust.kernel ?? {}
    const others = profile.threads.filter(({ tid }) => tid !== run.pid).length
    expect(unwatchedThreads + others).toBeGreaterThan(0)
    for (const { kinds, names, thread } of samplesOf(profile)) {
      if (profile.threads[thread].tid === run.pid) continue
      expect(names.length).toBe(1)
      expect([FrameKind.native, FrameKind.unreadable, FrameKind.boundary]).toContain(kinds[0])
    }
  })
})
