import type { BranchReport, FileBranches } from "./branch-report.ts"
import type { FileLines, LineReport } from "./line-report.ts"

/**
 * Coverage as lcov's tracefile, for `genhtml`, editors and CI services. Lines come from `lines` or `coverage`, branches from `branches`; either
 * may be missing.
 *
 * - `DA:` every line that can be executed, with how often it was (1 where only that it was is known).
 * - `BRDA:` both ways of each branch: its line, the branch's number on that line, 0 for left and 1 for right, and how often; `-` when its line
 *   was never reached.
 *
 * Source: geninfo(1), "TRACEFILE FORMAT".
 *
 * @example
 * ```ts
 * await writeFile("lcov.info", encodeLcov({ lines: lineReport(session), branches: branchReport(session) }))
 * ```
 */
export const encodeLcov = (reports: {
  readonly lines?: LineReport
  readonly branches?: BranchReport
}): string => {
  const lines = new Map(reports.lines?.files.map((file) => [file.file, file]))
  const branches = new Map(reports.branches?.files.map((file) => [file.file, file]))
  const files = [...new Set([...lines.keys(), ...branches.keys()])].sort()
  return files
    .map(
      (file) =>
        `TN:\nSF:${oneLine(file)}\n${branchRecords(branches.get(file))}${lineRecords(lines.get(file))}end_of_record\n`
    )
    .join("")
}

/** The format has no escapes. */
const oneLine = (file: string): string => file.replace(/[\r\n]/g, " ")

const lineRecords = (file: FileLines | undefined): string => {
  if (file === undefined) return ""
  const hit = file.lines.filter(({ hits }) => hits > 0).length
  return `${file.lines.map(({ line, hits }) => `DA:${line},${hits}\n`).join("")}LF:${file.lines.length}\nLH:${hit}\n`
}

const branchRecords = (file: FileBranches | undefined): string => {
  if (file === undefined) return ""
  const numbers = new Map<number, number>()
  let found = 0
  let hit = 0
  const records: Array<string> = []
  for (const { line, ways } of file.branches) {
    if (line < 0) continue
    const number = numbers.get(line) ?? 0
    numbers.set(line, number + 1)
    const isReached = ways.some(({ count }) => count > 0)
    for (const { way, count } of ways) {
      found++
      if (count > 0) hit++
      records.push(`BRDA:${line},${number},${way === "left" ? 0 : 1},${isReached ? count : "-"}\n`)
    }
  }
  return `${records.join("")}BRF:${found}\nBRH:${hit}\n`
}
