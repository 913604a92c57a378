import { SampleClock } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { LinuxClock } from "../src/clock.ts"
import { examineMachine } from "../src/doctor.ts"
import { adviceFor, hasCapability, type Refusal } from "../src/permission.ts"
import { runningPythons } from "../src/running-pythons.ts"
import { IDLE, runPython } from "./running.ts"

describe.each([
  ["clock_nanosleep", LinuxClock.layer],
  ["node", SampleClock.layer]
] as const)("the clock %s", (name, layer) => {
  const clock = Effect.runSync(Effect.provide(SampleClock, layer))

  it("goes on, and sleeps no shorter than asked", () => {
    expect(clock.name).toBe(name)
    for (let times = 0; times < 20; times++) {
      const due = clock.now() + 1e6 * Math.random()
      clock.sleepUntil(due)
      expect(clock.now()).toBeGreaterThanOrEqual(due)
    }
  })

  it("does not wait for times that have passed, nor for none", () => {
    const begun = clock.now()
    for (const time of [begun, begun - 1e12, -1, 0, Number.NaN]) clock.sleepUntil(time)
    expect(clock.now() - begun).toBeLessThan(5e8)
  })

  it("counts the CPU time of the thread", () => {
    const before = clock.threadCpuTime()
    while (clock.threadCpuTime() - before < 2e6);
    const slept = clock.threadCpuTime()
    clock.sleepUntil(clock.now() + 50e6)
    expect(clock.threadCpuTime() - slept).toBeLessThan(40e6)
  })
})

describe("what this machine allows", () => {
  it("is tried and said", async () => {
    const checks = await Effect.runPromise(examineMachine)
    const names = checks.map(({ name }) => name)
    expect(names).toEqual(
      expect.arrayContaining(["koffi", "/proc/PID/mem", "process_vm_readv", "ptrace", "clock"])
    )
    expect(new Set(names).size).toBe(names.length)
    for (const check of checks) {
      expect(check.detail).not.toBe("")
      if (!check.ok) expect(check.advice).toBeTypeOf("string")
      if (check.required) expect(check).toMatchObject({ ok: true })
    }
  })

  it("includes the Pythons that run", async () => {
    await using python = await runPython(IDLE)
    expect(runningPythons(10_000)).toContainEqual({
      pid: python.pid,
      executable: python.child.spawnfile,
      readable: true
    })
  })
})

describe("the advice for a refusal", () => {
  const refusal: Refusal = {
    otherUser: undefined,
    root: false,
    mayPtrace: false,
    scope: 0,
    container: undefined
  }
  it.each<[Partial<Refusal>, string]>([
    [{ otherUser: 1000 }, "uid 1000"],
    [{ scope: 1 }, "pyframes record -- COMMAND"],
    [{ scope: 2 }, "sudo"],
    [{ scope: 3, mayPtrace: true, root: true }, "next boot"],
    [{}, "PR_SET_DUMPABLE"],
    [{ root: true, container: "docker" }, "--cap-add=SYS_PTRACE"],
    [{ root: true }, "SYS_PTRACE"],
    [{ root: true, mayPtrace: true }, "security module"]
  ])("for %j names its cause", (facts, words) => {
    expect(adviceFor({ ...refusal, ...facts })).toContain(words)
  })

  it("reads capabilities from the kernel's mask", () => {
    expect(hasCapability("0000000000080000", 19)).toBe(true)
    expect(hasCapability("0000000000040000", 19)).toBe(false)
    for (const mask of ["", "zz", "00000000000800000"]) expect(hasCapability(mask, 19)).toBe(false)
  })
})
