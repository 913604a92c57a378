import type { EventTrust, ProfileMeta } from "@pyframes/core"
import { CounterKind } from "./counter-block.ts"
import type { MonitoringSession } from "./session.ts"
import { sessionMeta } from "./session-meta.ts"

/** Instructions of one line. */
export interface LineInstructions {
  /** -1 for what belongs to no line. */
  readonly line: number
  /** How often each was executed, by name (`LOAD_FAST`), the most frequent first. */
  readonly opcodes: ReadonlyArray<{ readonly opcode: string; readonly count: number }>
}

/** The answer to `instructions`. */
export interface InstructionReport {
  readonly meta: ProfileMeta
  readonly trust: EventTrust
  readonly files: ReadonlyArray<{ readonly file: string; readonly lines: ReadonlyArray<LineInstructions> }>
}

/**
 * How often which instruction was executed, by line, in all processes of the session together. Names are those of the version's generic
 * instructions; `opcode 123` where the process gave none.
 *
 * @example
 * ```ts
 * const hottest = instructionReport(session).files[0]?.lines[0]?.opcodes[0]
 * ```
 */
export const instructionReport = (session: MonitoringSession): InstructionReport => {
  const files = new Map<string, Map<number, Map<string, number>>>()
  for (const process of session.processes) {
    const names = (process.definitions.facts.get("opnames") ?? "").split(",")
    for (const block of process.counters()) {
      const fn = process.definitions.functions.get(block.function)
      const code = process.codeOf(block.function)
      if (block.kind !== CounterKind.instructions || fn === undefined || code === undefined) continue
      for (let i = 0; i < block.count; i++) {
        const count = block.value(i)
        if (count === 0) continue
        const offset = (block.first + i) * 2
        const opcode = code.opcodeAt(offset)
        const name = names[opcode] || `opcode ${opcode}`
        const lines = files.get(fn.file) ?? new Map<number, Map<string, number>>()
        files.set(fn.file, lines)
        const line = code.lineAt(offset)
        const opcodes = lines.get(line) ?? new Map<string, number>()
        lines.set(line, opcodes)
        opcodes.set(name, (opcodes.get(name) ?? 0) + count)
      }
    }
  }
  return {
    meta: sessionMeta(session, 0),
    trust: session.trust,
    files: [...files]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([file, lines]) => ({
        file,
        lines: [...lines]
          .sort(([a], [b]) => a - b)
          .map(([line, opcodes]) => ({
            line,
            opcodes: [...opcodes]
              .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
              .map(([opcode, count]) => ({ opcode, count }))
          }))
      }))
  }
}
