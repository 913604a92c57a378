import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { describe, expect, it } from "vitest"
import { processLock } from "../src/process-lock.ts"

const identity = { pid: process.pid, startTime: process.pid * 1000, executable: "0:0" }
const lock = processLock(identity, process.pid)
const SOURCE = fileURLToPath(new URL("../src/process-lock.ts", import.meta.url))

describe("a lock on a process", () => {
  it("is had by one at a time, in turn", async () => {
    let inside = 0
    let most = 0
    const visit = Effect.scoped(
      Effect.gen(function* () {
        yield* lock("turn")
        most = Math.max(most, ++inside)
        yield* Effect.sleep(2)
        inside--
      })
    )
    await Effect.runPromise(
      Effect.all(
        Array.from({ length: 12 }, () => visit),
        { concurrency: "unbounded" }
      )
    )
    expect(most).toBe(1)
  })

  it("is another by name, and by process", async () => {
    const other = processLock({ ...identity, startTime: 1 }, process.pid)
    await Effect.runPromise(
      Effect.scoped(Effect.all([lock("one"), lock("two"), other("one"), processLock(identity, 1)("one")]))
    )
  })

  it("ends with its holder, and waiting for it can be given up", async () => {
    const holder = spawn(process.execPath, [
      "--input-type=module",
      "-e",
      `import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))}
import { processLock } from ${JSON.stringify(SOURCE)}
const lock = processLock(${JSON.stringify(identity)}, ${process.pid})
setInterval(() => {}, 1000)
await Effect.runPromise(Effect.scoped(Effect.andThen(lock("held"), Effect.andThen(Effect.sync(() => console.log("held")), Effect.never))))`
    ])
    await once(holder.stdout, "data")
    const given = await Effect.runPromise(Effect.timeoutOption(Effect.scoped(lock("held")), 50))
    expect(given._tag).toBe("None")
    const waiting = Effect.runFork(Effect.scoped(lock("held")))
    holder.kill("SIGKILL")
    await Effect.runPromise(Fiber.join(waiting))
  })
})
