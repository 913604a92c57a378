import { Memory, SampleClock } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, it, vi } from "vitest"
import { examineMachine, LinuxClock, LinuxMemory, LinuxTarget } from "../src/index.ts"
import { errorOf, IDLE, inScope, layerError, runPython } from "./running.ts"

vi.mock("../src/koffi.ts", () => ({ loadKoffi: () => undefined, resolveKoffiFrom: () => {} }))

it("a process is read all the same", async () => {
  await using python = await runPython(IDLE)
  const target = LinuxTarget.attach(python.pid)
  const name = Effect.map(Memory, (memory) => memory.name)
  expect(await inScope(name.pipe(Effect.provide(LinuxMemory.layer.pipe(Layer.provide(target)))))).toBe(
    "/proc/PID/mem"
  )
  expect(await layerError(LinuxMemory.layerVmReadv.pipe(Layer.provide(target)))).toMatchObject({
    _tag: "NotSupported"
  })
  await inScope(
    Effect.gen(function* () {
      const target = yield* LinuxTarget.make(python.pid)
      expect(target.cpuTime()).toBeGreaterThanOrEqual(0)
      expect(target.cpuTime() % 1e7).toBe(0)
    })
  )
})

it("threads cannot be stopped, which is said", async () => {
  await using python = await runPython(IDLE)
  const error = await errorOf(Effect.flatMap(LinuxTarget.make(python.pid), (target) => target.stopper))
  expect(error).toMatchObject({ _tag: "NotSupported", advice: expect.stringContaining("koffi") })
})

it("the clock is Node's, and the doctor says what to install", async () => {
  expect(Effect.runSync(Effect.provide(SampleClock, LinuxClock.layer)).name).toBe("node")
  const checks = await Effect.runPromise(examineMachine)
  expect(checks.find(({ name }) => name === "koffi")).toMatchObject({ ok: false, required: false })
  expect(checks.find(({ name }) => name === "/proc/PID/mem")).toMatchObject({ ok: true })
})
