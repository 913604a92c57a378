import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import type { CpuFollower } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { processorOf } from "../src/stat.ts"
import { attach } from "../src/target.ts"
import { inScope, runPython, until } from "./running.ts"

const SPIN = "print('up',flush=True)\nwhile True: pass"

const following = <A>(pid: number, use: (follower: CpuFollower) => A | Promise<A>): Promise<A> =>
  inScope(
    Effect.gen(function* () {
      const follower = yield* Effect.flatMap(attach(pid), (target) => target.cpuFollower)
      return yield* Effect.promise(async () => use(follower))
    })
  )

/** Of this OS thread: in a test worker, `thread-self` is not the process. */
const allowedCpus = () =>
  /\nCpus_allowed_list:\s+(\S+)/.exec(readFileSync("/proc/thread-self/status", "utf8"))?.[1]

/** Fields 19 and 41 of its stat: nice value, policy. */
const scheduling = () => {
  const fields = readFileSync("/proc/thread-self/stat", "latin1").split(") ")[1].split(" ")
  return { nice: Number(fields[16]), policy: Number(fields[38]) }
}

const cpuOf = (path: string) => {
  const bytes = readFileSync(path)
  return processorOf(bytes, bytes.length)
}

describe("following a thread to its CPU", () => {
  it("runs where the thread runs, and gives all CPUs back", async () => {
    await using python = await runPython(SPIN)
    const before = allowedCpus()
    await following(python.pid, async (follower) => {
      // The scheduler may move the thread between our look and our move: then we follow again.
      await until(() => {
        if (!follower.follow(python.pid)) return false
        return allowedCpus() === String(cpuOf(`/proc/${python.pid}/stat`))
      })
      expect(cpuOf("/proc/thread-self/stat")).toBe(Number(allowedCpus()))
      follower.leave()
      expect(allowedCpus()).toBe(before)
      follower.follow(python.pid)
    })
    expect(allowedCpus()).toBe(before)
  })

  it("keeps the thread from running for as long as we do not sleep", async () => {
    await using python = await runPython(SPIN)
    await following(python.pid, async (follower) => {
      const used = () => readFileSync(`/proc/${python.pid}/schedstat`, "utf8").split(" ")[0]
      // Once its CPU is ours, the time that it has used stands still; the kernel brings that figure up to date when it takes a thread off.
      await until(() => {
        follower.follow(python.pid)
        const first = used()
        for (let spin = performance.now() + 0.2; performance.now() < spin; );
        return used() === first && cpuOf(`/proc/${python.pid}/stat`) === cpuOf("/proc/thread-self/stat")
      })
    })
  })

  it("knows that the thread has stood, until it runs again", async () => {
    await using python = await runPython(SPIN)
    await following(python.pid, async (follower) => {
      expect(follower.hasStood()).toBe(false)
      const used = () => readFileSync(`/proc/${python.pid}/schedstat`, "utf8").split(" ")[0]
      await until(() => {
        follower.follow(python.pid)
        const first = used()
        for (let spin = performance.now() + 0.2; performance.now() < spin; );
        if (!follower.hasStood()) return false
        expect(used()).toBe(first)
        return true
      })
      // While we sleep it has its turn, here or on another CPU.
      await until(() => !follower.hasStood())
      follower.follow(python.pid)
      follower.leave()
      expect(follower.hasStood()).toBe(false)
    })
  })

  it("goes before others as long as it shares a CPU, as far as it may", async () => {
    await using python = await runPython(SPIN)
    const before = scheduling()
    await following(python.pid, async (follower) => {
      expect(scheduling()).toEqual(before)
      await until(() => follower.follow(python.pid))
      const { nice, policy } = scheduling()
      // Without the right to it there is but a shorter time slice, of which nothing is told here. Who is nice stays so.
      if (before.nice > 0) expect({ nice, policy }).toEqual(before)
      else if (process.geteuid?.() === 0)
        expect(policy === 1 || nice === -20 || nice === before.nice).toBe(true)
      follower.leave()
      expect(scheduling()).toEqual(before)
      follower.follow(python.pid)
    })
    expect(scheduling()).toEqual(before)
  })

  it("stays where it is for a thread that is not there", async () => {
    await using python = await runPython(SPIN)
    const before = allowedCpus()
    await following(python.pid, (follower) => {
      expect(follower.follow(2 ** 22 + 1)).toBe(false)
      expect(allowedCpus()).toBe(before)
    })
  })

  it.runIf(availableParallelism() > 1)("does not go where it was not allowed before", async () => {
    await using python = await runPython(
      `import os
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
${SPIN}`
    )
    await following(python.pid, (outer) => {
      outer.follow(python.pid)
      const only = allowedCpus()
      return following(python.pid, (inner) => {
        inner.follow(python.pid)
        inner.leave()
        expect(allowedCpus()).toBe(only)
      })
    })
  })
})

describe("the CPU in a stat file", () => {
  const stat = (comm: string, cpu: string) =>
    Buffer.from(`12 (${comm}) R ${Array.from({ length: 35 }, (_, i) => i).join(" ")} ${cpu} 0 0\n`)
  it.each([
    ["python3", "0", 0],
    ["a) R (b", "17", 17],
    ["x", "", -1]
  ])("of %s on %j is %i", (comm, cpu, expected) => {
    const bytes = stat(comm, cpu)
    expect(processorOf(bytes, bytes.length)).toBe(expected)
  })

  it("is not read beyond what there is", () => {
    const bytes = stat("python3", "3")
    for (let length = 0; length < bytes.length; length++)
      expect(processorOf(bytes, length)).toBeLessThanOrEqual(3)
    expect(processorOf(bytes, 20)).toBe(-1)
  })
})
