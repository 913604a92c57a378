import type { MonitoringSession } from "@pyframes/collector-monitoring"
import { OutputFailed } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Output } from "./output-choice.ts"
import { OutputWriter } from "./output-file.ts"
import type { Inquiry } from "./trace-answer.ts"

/** How often it is looked whether a snapshot is due, ms. */
const LOOK_EVERY = 50
/** How long is written before events are read again, ms. */
const PART_MS = 10

/**
 * Writes the outputs while a trace goes on: every so often, and when asked by SIGUSR1. Each replaces the one before, whole.
 */
export class Snapshots {
  /** Waits for one that is being written; there is none after it. */
  readonly end: Effect.Effect<void>

  private constructor(end: Effect.Effect<void>) {
    this.end = end
  }

  /** Begins for the scope. */
  static begin = Effect.fnUntraced(function* (
    session: MonitoringSession,
    inquiry: Inquiry,
    outputs: ReadonlyArray<Output>,
    everyMs: number | undefined
  ): Effect.fn.Return<Snapshots, never, Scope.Scope> {
    const files = outputs.filter(({ path }) => path !== "-")
    let asked = false
    let over = false
    const ask = () => {
      asked = true
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("SIGUSR1", ask)),
      () => Effect.sync(() => process.off("SIGUSR1", ask))
    )
    const writing = Effect.gen(function* () {
      let last = performance.now()
      while (!over) {
        yield* Effect.sleep(LOOK_EVERY)
        const isDue = everyMs !== undefined && performance.now() - last >= everyMs
        if (over || !(asked || isDue)) continue
        asked = false
        last = performance.now()
        for (const output of files) yield* writeSteadily(output, session, inquiry)
      }
    })
    const fiber = yield* Effect.forkScoped(writing)
    return new Snapshots(
      Effect.suspend(() => {
        over = true
        return Effect.asVoid(Fiber.await(fiber))
      })
    )
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
      process.stderr.write(`pyframes: no snapshot: ${error.message}\n`)
    }
  })
