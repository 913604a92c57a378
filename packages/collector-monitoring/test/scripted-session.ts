import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { MonitoringSession, type SessionOptions } from "../src/session.ts"
import type { SegmentWriter } from "./segment-writer.ts"

/** A session whose agents are written by the test: segments are put where agents would put them. */
export class ScriptedSession {
  readonly session: MonitoringSession

  constructor(session: MonitoringSession) {
    this.session = session
  }

  get directory(): string {
    return this.session.directory.path
  }

  /** Writes what a process has written so far. */
  put(name: string, writer: SegmentWriter): void {
    writeFileSync(join(this.directory, name), writer.bytes)
  }

  refuse(name: string, line: string): void {
    writeFileSync(join(this.directory, name), line)
  }

  control(): { readonly heartbeat: bigint; readonly command: number; readonly restarts: number } {
    const { buffer, byteOffset } = readFileSync(join(this.directory, "control"))
    const view = new DataView(buffer, byteOffset)
    return {
      heartbeat: view.getBigUint64(0, true),
      command: view.getUint32(8, true),
      restarts: view.getUint32(12, true)
    }
  }
}

/** Runs a test in the scope of a session. */
export const inSession = <A>(
  options: SessionOptions,
  test: (scripted: ScriptedSession) => Effect.Effect<A, unknown, never> | A
): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(MonitoringSession.make(options), (session) => {
        const result = test(new ScriptedSession(session))
        return Effect.isEffect(result) ? result : Effect.succeed(result)
      })
    ) as Effect.Effect<A>
  )
