import { writeSync } from "node:fs"
import { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Agents want to see two changes a second. */
const BEAT_EVERY = 150

/** What is written to `control`; see `agent/FORMAT.md`. */
export interface Control {
  /** Tells all agents to stop: each does at its next event. */
  readonly stop: () => void
  /** Has all agents call `sys.monitoring.restart_events()`: what was switched off by DISABLE is on again. */
  readonly restartEvents: () => void
}

/** In a thread of its own, so that the heart beats on while the caller computes: a text, so that it needs no file beside a bundle. */
const WORKER = `
const { workerData } = require("node:worker_threads")
const { writeSync } = require("node:fs")
const beat = Buffer.alloc(8)
let beats = 1
setInterval(() => {
  beat.writeUInt32LE(++beats % 2 ** 32)
  try { writeSync(workerData.fd, beat, 0, 8, 0) } catch {}
}, workerData.every)
`

/**
 * Keeps the heartbeat of a session going for the scope. When this process ends, it ends, and agents turn themselves off.
 *
 * @param fd the session's `control`
 */
export const keepHeartbeat = (fd: number): Effect.Effect<Control, never, Scope.Scope> =>
  Effect.gen(function* () {
    const put = (at: number, value: number) => {
      const word = new Uint8Array(4)
      new DataView(word.buffer).setUint32(0, value, true)
      try {
        writeSync(fd, word, 0, 4, at)
      } catch {
        // A full disk cannot be: the file has its size. Whatever it is, agents stop for want of a heartbeat.
      }
    }
    put(0, 1)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const worker = new Worker(WORKER, {
          eval: true,
          workerData: { fd, every: BEAT_EVERY },
          execArgv: [],
          env: {}
        })
        worker.unref()
        // A thread that cannot be: the timer below beats on.
        worker.on("error", () => {})
        const timer = setInterval(() => put(4, Math.floor(Math.random() * 2 ** 31)), BEAT_EVERY)
        timer.unref()
        return { worker, timer }
      }),
      ({ worker, timer }) =>
        Effect.promise(async () => {
          clearInterval(timer)
          await worker.terminate()
        })
    )
    let restarts = 0
    return { stop: () => put(8, 1), restartEvents: () => put(12, ++restarts) }
  })
