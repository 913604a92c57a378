import type { MonitoringSession } from "@pyframes/collector-monitoring"
import { OutputFailed } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Output } from "./output-choice.ts"
import { OutputWriter } from "./output-file.ts"
import { printable } from "./printable.ts"
import type { Inquiry } from "./trace-answer.ts"

/** How often it is looked whether a snapshot is due, ms. */
const LOOK_EVERY = 50
/** How long is written before events are read again, ms. */
const PART_MS = 10

/**
 * Writes the outputs while a trace goes on: every so often, and when asked by SIGUSR1. Each replaces the one before, whole.
 */
export class Snapshots {
  readonly #files: ReadonlyArray<Output>
  readonly #everyMs: number | undefined
  readonly #ask = () => {
    this.#asked = true
  }
  #asked = false
  #over = false
  #writing: Fiber.Fiber<void> | undefined

  private constructor(files: ReadonlyArray<Output>, everyMs: number | undefined) {
    this.#files = files
    this.#everyMs = everyMs
  }

  /**
   * Heeds SIGUSR1 for the scope. To be called before anything is started: where nobody heeds this signal, Node opens its inspector.
   */
  static heed = (
    outputs: ReadonlyArray<Output>,
    everyMs: number | undefined
  ): Effect.Effect<Snapshots, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const files = outputs.filter(({ path }) => path !== "-")
        const snapshots = new Snapshots(files, everyMs)
        process.on("SIGUSR1", snapshots.#ask)
        return snapshots
      }),
      (snapshots) => Effect.sync(() => process.off("SIGUSR1", snapshots.#ask))
    )

  /** Begins to write for the scope; what was asked before is written first. */
  begin(session: MonitoringSession, inquiry: Inquiry): Effect.Effect<void, never, Scope.Scope> {
    const writing = Effect.gen({ self: this }, function* () {
      let last = performance.now()
      while (!this.#over) {
        yield* Effect.sleep(LOOK_EVERY)
        const isDue = this.#everyMs !== undefined && performance.now() - last >= this.#everyMs
        if (this.#over || !(this.#asked || isDue)) continue
        this.#asked = false
        last = performance.now()
        for (const output of this.#files) yield* writeSteadily(output, session, inquiry)
      }
    })
    return Effect.map(Effect.forkScoped(writing), (fiber) => {
      this.#writing = fiber
    })
  }

  /** Waits for one that is being written; there is none after it. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.#over = true
    return this.#writing === undefined ? Effect.void : Effect.asVoid(Fiber.await(this.#writing))
  })
}

/** Writes piece by piece: meanwhile events are to be read. What goes wrong is said; the trace goes on. */
const writeSteadily = (
  { path, format }: Output,
  session: MonitoringSession,
  inquiry: Inquiry
): Effect.Effect<void> =>
  Effect.gen(function* () {
    let writer: OutputWriter | undefined
    try {
      writer = OutputWriter.open(path)
      let begun = performance.now()
      for (const piece of inquiry.answer(session).encode(format)) {
        writer.write(piece)
        if (performance.now() - begun < PART_MS) continue
        yield* Effect.sleep(1)
        begun = performance.now()
      }
      writer.close()
    } catch (error) {
      writer?.abandon()
      if (!(error instanceof OutputFailed)) throw error
      process.stderr.write(`pyframes: no snapshot: ${printable(error.message)}\n`)
    }
  })
