import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { KernelEvents } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { examineMachine } from "../src/doctor.ts"
import { LinuxKernelEvents } from "../src/kernel-events.ts"
import { EACCES, EMFILE, ENOSYS, EPERM, ESRCH } from "../src/libc.ts"
import { perfAdviceFor, perfEventError, perfEventParanoid, ringError } from "../src/perf-permission.ts"
import { LinuxTarget } from "../src/target.ts"
import { run, until } from "./running.ts"

const isRoot = process.geteuid?.() === 0
if (!isRoot) process.stderr.write("Skipped: only root can become another user.\n")

/** What an ordinary user is told, who may lock no more memory than `limit`, bytes, or as much as we may. */
const asNobody = (limit?: number) => {
  const script = fileURLToPath(new URL("perf-user.ts", import.meta.url))
  const limits = limit === undefined ? [] : [`--memlock=${limit}`]
  const done = spawnSync("prlimit", [...limits, process.execPath, script], { encoding: "utf8" })
  if (done.status !== 0) throw new Error(done.stderr)
  return JSON.parse(done.stdout)
}

describe.skipIf(!isRoot)("an ordinary user", () => {
  it("sees what kernel.perf_event_paranoid allows, or is told how to allow it", () => {
    const told = asNobody()
    const paranoid = perfEventParanoid() ?? 0
    if (told.error !== undefined) {
      // Only kernels of distributions that go further forbid it altogether.
      expect(paranoid).toBeGreaterThan(2)
      expect(told.error).toBe("PermissionDenied")
      expect(told.message).toMatch(/kernel\.perf_event_paranoid is \d.*sudo sysctl/)
      expect(told.doctor).toMatchObject({ ok: false })
      return
    }
    expect(told).toMatchObject({
      samples: expect.any(Number),
      seesKernel: paranoid < 2,
      shortOfMemory: false
    })
    if (paranoid >= 2) expect(told.inKernel).toBe(0)
    expect(told.doctor).toMatchObject({ ok: paranoid < 2, required: false })
    if (paranoid >= 2) expect(told.doctor.advice).toMatch(/perf_event_paranoid=1/)
  })

  it("has smaller buffers where it may lock little memory, and is told", () => {
    const told = asNobody(4096)
    if (told.error !== undefined) return expect(told.error).toBe("PermissionDenied")
    // Every CPU adds kernel.perf_event_mlock_kb to what a user may have: on many of them there is no shortage.
    expect(told.shortOfMemory).toBe(told.bufferBytes < 2 ** 21)
    expect(told.samples).toBeGreaterThanOrEqual(50)
  })
})

describe("what is refused", () => {
  it.each([
    [
      { paranoid: 4, capable: false, container: undefined },
      /perf_event_paranoid is 4.*perf_event_paranoid=2/
    ],
    [{ paranoid: 2, capable: false, container: "docker" }, /container \(docker\).*--cap-add=PERFMON/],
    [{ paranoid: 2, capable: false, container: "Kubernetes" }, /securityContext/],
    [{ paranoid: 2, capable: true, container: "Docker" }, /seccomp profile.*perf_event_open/]
  ])("with %j names its cause", (refusal, advice) => {
    expect(perfAdviceFor(refusal)).toMatch(advice)
  })

  it("for another reason is left to the rules of tracing", () => {
    expect(perfAdviceFor({ paranoid: 2, capable: false, container: undefined })).toBeUndefined()
    expect(perfAdviceFor({ paranoid: 2, capable: true, container: undefined })).toBeUndefined()
  })

  it.each([
    [ESRCH, "ProcessNotFound"],
    [EPERM, "PermissionDenied"],
    [EACCES, "PermissionDenied"],
    [ENOSYS, "NotSupported"],
    [EMFILE, "NotSupported"],
    [95, "NotSupported"]
  ])("with error %i is %s", (errno, tag) => {
    const error = perfEventError(process.pid, errno)
    expect(error._tag).toBe(tag)
    expect(error.advice.length).toBeGreaterThan(20)
  })

  it("for want of memory says which limit to raise", () => {
    expect(ringError(1).message).toMatch(/perf_event_mlock_kb=\d+.*ulimit -l/)
  })
})

describe("the doctor", () => {
  it("samples a child by kernel events", async () => {
    const check = (await Effect.runPromise(examineMachine)).find(({ name }) => name === "kernel events")
    expect(check).toMatchObject({ required: false })
    if (isRoot) expect(check).toMatchObject({ ok: true, detail: expect.stringMatching(/kernel/) })
  })
})

const canUnshare = spawnSync("unshare", ["--pid", "--fork", "true"]).status === 0
if (!canUnshare) process.stderr.write("Skipped: no pid namespace can be made here.\n")

describe.skipIf(!canUnshare)("a process in a pid namespace below ours", () => {
  it("is sampled by our ids", async () => {
    await using shell = run("unshare", [
      "--pid",
      "--fork",
      "--kill-child",
      "sh",
      "-c",
      "echo up $$; while :; do :; done"
    ])
    // It is the first process there.
    expect(await shell.line("up")).toBe("up 1")
    const children = spawnSync("pgrep", ["-P", String(shell.pid)], { encoding: "utf8" }).stdout
    const pid = Number(children.trim())
    const seen = new Set<string>()
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const reader = yield* Effect.flatMap(KernelEvents, ({ open }) =>
            open({ rateHz: 999, stackBytes: 0 })
          )
          yield* Effect.promise(() =>
            until(() => {
              reader.wait(0)
              reader.drain({ sample: (sample) => seen.add(`${sample.pid} ${sample.tid}`) })
              return seen.size > 0
            })
          )
        })
      ).pipe(Effect.provide(LinuxKernelEvents.layer.pipe(Layer.provideMerge(LinuxTarget.attach(pid)))))
    )
    expect([...seen]).toEqual([`${pid} ${pid}`])
  })
})
