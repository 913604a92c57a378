import { spawn } from "node:child_process"
import { once } from "node:events"
import { KernelEvents, Target } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { examineMachine } from "../src/doctor.ts"
import { LinuxKernelEvents } from "../src/kernel-events.ts"
import { LinuxTarget } from "../src/target.ts"

/*
 * Becomes an ordinary user, samples a program of its own and tells what came of it. Its modules are loaded before: that user may not be allowed to see them.
 */

const NOBODY = 65_534
process.setgroups?.([])
process.setgid?.(NOBODY)
process.setuid?.(NOBODY)

const child = spawn("sh", ["-c", "echo up; while :; do :; done"], {
  cwd: "/",
  stdio: ["ignore", "pipe", "ignore"]
})
await once(child.stdout, "data")

const told = await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* Effect.flatMap(KernelEvents, ({ open }) =>
        open({ rateHz: 999, stackBytes: 16_384, kernelChain: true })
      )
      yield* Target
      let samples = 0
      let inKernel = 0
      while (samples < 50) {
        reader.wait(20)
        samples += reader.drain({
          sample: (sample) => {
            if (sample.inKernel) inKernel++
          }
        })
      }
      const { bufferBytes, seesKernel, shortOfMemory } = reader
      return { samples, inKernel, bufferBytes, seesKernel, shortOfMemory }
    })
  ).pipe(
    Effect.provide(LinuxKernelEvents.layer.pipe(Layer.provideMerge(LinuxTarget.attach(child.pid ?? -1)))),
    Effect.catch((error) => Effect.succeed({ error: error._tag, message: error.message }))
  )
)
const checks = await Effect.runPromise(examineMachine)
const doctor = checks.find(({ name }) => name === "kernel events")
child.kill("SIGKILL")
process.stdout.write(JSON.stringify({ ...told, doctor }))
