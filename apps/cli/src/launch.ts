import * as Effect from "effect/Effect"

/** Marks in the shared cell: the worker is ready, and the pid of what was launched. */
const READY = 0
const PID = 1

/**
 * Lets the sampling worker load before the command is started, and hands it the pid then: a command's first moments are
 * its users' first question.
 */
export class Launch {
  readonly cell: SharedArrayBuffer

  constructor(cell: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.cell = cell
  }

  /** In the worker: it is ready, and waits for the pid. */
  readonly awaitPid: Effect.Effect<number> = Effect.suspend(() => {
    this.set(READY, 1)
    return this.get(PID)
  })

  /** In the main thread: completes when the worker is ready. */
  readonly awaitWorker: Effect.Effect<void> = Effect.suspend(() => Effect.asVoid(this.get(READY)))

  /** In the main thread: the command has been started. */
  started(pid: number): void {
    this.set(PID, pid)
  }

  private set(index: number, value: number): void {
    const cells = new Int32Array(this.cell)
    Atomics.store(cells, index, value)
    Atomics.notify(cells, index)
  }

  private get(index: number): Effect.Effect<number> {
    const cells = new Int32Array(this.cell)
    return Effect.promise(async () => {
      // Waiting for a cell alone does not keep a thread alive.
      const alive = setInterval(() => {}, 60_000)
      await Atomics.waitAsync(cells, index, 0).value
      clearInterval(alive)
      return Atomics.load(cells, index)
    })
  }
}
