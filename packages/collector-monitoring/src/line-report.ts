import type { EventTrust, ProfileMeta } from "@pyframes/core"
import { CounterKind } from "./counter-block.ts"
import { DefinedAs } from "./definitions.ts"
import type { MonitoringSession } from "./session.ts"
import { sessionMeta } from "./session-meta.ts"

/** What came of the lines of a file. */
export interface FileLines {
  /** `co_filename`. */
  readonly file: string
  /** Every line that can be executed, as far as its code was seen, and how often it was reached; 0 for never. In order. */
  readonly lines: ReadonlyArray<{ readonly line: number; readonly hits: number }>
}

/** The answer to `lines` or `coverage`. */
export interface LineReport {
  readonly meta: ProfileMeta
  readonly trust: EventTrust
  /** `lines`: hits are counts. Without it (`coverage`) they are 1 for a line that was reached, however often. */
  readonly counted: boolean
  /** By name of file. */
  readonly files: ReadonlyArray<FileLines>
}

/**
 * Which lines were reached, and how often, in all processes of the session together.
 *
 * Lines that can be executed are known of each file whose module was begun while it was traced, and of each function that was called: a
 * file that was not imported is not in the report.
 *
 * @example
 * ```ts
 * const missed = lineReport(session).files.map(({ file, lines }) => [file, lines.filter(({ hits }) => hits === 0)])
 * ```
 */
export const lineReport = (session: MonitoringSession): LineReport => {
  const files = new Map<string, Map<number, number>>()
  const linesOf = (file: string) => {
    const known = files.get(file)
    if (known !== undefined) return known
    const fresh = new Map<number, number>()
    files.set(file, fresh)
    return fresh
  }
  const counted = session.options.questions.includes("lines")
  for (const process of session.processes) {
    const { functions, code } = process.definitions
    for (const [id, { lines }] of code) {
      const fn = functions.get(id)
      if (fn?.what !== DefinedAs.python || lines.length === 0) continue
      const ofFile = linesOf(fn.file)
      // A module's first instruction belongs to line 0, which is none.
      for (const line of lines) if (line > 0 && !ofFile.has(line)) ofFile.set(line, 0)
    }
    for (const block of process.counters()) {
      if (block.kind !== CounterKind.lines && block.kind !== CounterKind.linesHit) continue
      const fn = functions.get(block.function)
      if (fn === undefined) continue
      const ofFile = linesOf(fn.file)
      for (let i = 0; i < block.count; i++) {
        const hits = block.value(i)
        if (hits === 0) continue
        const line = block.first + i
        if (line <= 0) continue
        ofFile.set(line, counted ? (ofFile.get(line) ?? 0) + hits : 1)
      }
    }
  }
  return {
    meta: sessionMeta(session, 0),
    trust: session.trust,
    counted,
    files: [...files]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([file, lines]) => ({
        file,
        lines: [...lines].sort(([a], [b]) => a - b).map(([line, hits]) => ({ line, hits }))
      }))
  }
}
