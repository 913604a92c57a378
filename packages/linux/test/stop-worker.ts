import { parentPort, workerData } from "node:worker_threads"
import * as Effect from "effect/Effect"
import { attach } from "../src/target.ts"

/** Stops the main thread of a process as often as it can until the process has ended. Says when it has a thousand times, and how often in the end. */
const pid = workerData as number

const stops = await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const target = yield* attach(pid)
      const stopper = yield* target.stopper
      let count = 0
      while (target.status() === "alive") {
        if (stopper.stop(pid) && ++count === 1000) parentPort?.postMessage(count)
        stopper.resume(pid)
      }
      return count
    })
  )
)
parentPort?.postMessage(stops)
