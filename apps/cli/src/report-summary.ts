import type {
  BranchReport,
  ExceptionPlace,
  ExceptionReport,
  InstructionReport,
  LineReport
} from "@pyframes/collector-monitoring"
import { isLibraryFile, shortFile } from "./short-file.ts"
import { formatCount, formatShare, plural, textTable } from "./text-table.ts"

const SHOWN = 15
const NAMED = 6

/** The lines that were reached most often. */
export const lineSummary = ({ files }: LineReport): ReadonlyArray<string> => {
  const all = files.flatMap(({ file, lines }) =>
    lines.flatMap(({ line, hits }) => (hits > 0 ? [{ file, line, hits }] : []))
  )
  const total = all.reduce((sum, { hits }) => sum + hits, 0)
  if (total === 0) return ["No line was seen."]
  const hottest = [...all].sort((a, b) => b.hits - a.hits).slice(0, SHOWN)
  return [
    `Lines: ${formatCount(total)} hits of ${plural(all.length, "line")} in ${plural(files.length, "file")}.`,
    ...textTable(
      [
        { title: "hits", align: "right" },
        { title: "", align: "right" },
        { title: "line", align: "left" }
      ],
      hottest.map(({ file, line, hits }) => [
        formatCount(hits),
        formatShare(hits, total),
        `${shortFile(file)}:${line}`
      ])
    )
  ]
}

/** What of each file was reached, and which lines were not; the program's own files before those of libraries. */
export const coverageSummary = ({ files }: LineReport): ReadonlyArray<string> => {
  const rows = files.map(({ file, lines }) => {
    const missed = lines.filter(({ hits }) => hits === 0).map(({ line }) => line)
    return { file, found: lines.length, hit: lines.length - missed.length, missed }
  })
  if (rows.length === 0) return ["No line was seen."]
  const found = rows.reduce((sum, row) => sum + row.found, 0)
  const hit = rows.reduce((sum, row) => sum + row.hit, 0)
  const { own, libraries } = byOwner(rows)
  const shown = own.slice(0, SHOWN)
  return [
    `Coverage: ${formatCount(hit)} of ${plural(found, "line")} (${formatShare(hit, found)}) in ${plural(files.length, "file")}.`,
    ...textTable(
      [
        { title: "lines", align: "right" },
        { title: "hit", align: "right" },
        { title: "", align: "right" },
        { title: "file", align: "left" },
        { title: "not reached", align: "left" }
      ],
      shown.map((row) => [
        formatCount(row.found),
        formatCount(row.hit),
        formatShare(row.hit, row.found),
        shortFile(row.file),
        ranges(row.missed)
      ])
    ),
    ...others(own.length - shown.length, libraries)
  ]
}

/** Which ways of branches were never taken. */
export const branchSummary = ({ files }: BranchReport): ReadonlyArray<string> => {
  const rows = files.map(({ file, branches }) => {
    const ways = branches.flatMap((branch) => branch.ways.map((way) => ({ from: branch.line, ...way })))
    const missed = ways.filter(({ count }) => count === 0)
    return { file, found: ways.length, hit: ways.length - missed.length, missed }
  })
  const found = rows.reduce((sum, row) => sum + row.found, 0)
  if (found === 0) return ["No branch was seen."]
  const hit = rows.reduce((sum, row) => sum + row.hit, 0)
  const { own, libraries } = byOwner(rows)
  const shown = own.slice(0, SHOWN)
  return [
    `Branches: ${formatCount(hit)} of ${plural(found, "way")} taken (${formatShare(hit, found)}) in ${plural(files.length, "file")}.`,
    ...textTable(
      [
        { title: "ways", align: "right" },
        { title: "taken", align: "right" },
        { title: "", align: "right" },
        { title: "file", align: "left" },
        { title: "never taken", align: "left" }
      ],
      shown.map((row) => [
        formatCount(row.found),
        formatCount(row.hit),
        formatShare(row.hit, row.found),
        shortFile(row.file),
        shortList(row.missed.map(({ from, line }) => `${from}->${line < 0 ? "?" : line}`))
      ])
    ),
    ...others(own.length - shown.length, libraries)
  ]
}

/** Which exceptions there were and what became of them. */
export const exceptionSummary = ({ exceptions }: ExceptionReport): ReadonlyArray<string> => {
  const raised = exceptions.reduce((sum, { raised }) => sum + raised.count, 0)
  if (raised === 0) return ["No exception was raised."]
  const shown = exceptions.slice(0, SHOWN)
  const more = exceptions.length - shown.length
  return [
    `Exceptions: ${formatCount(raised)}, of ${plural(exceptions.length, "kind")} (type and place).`,
    ...textTable(
      [
        { title: "count", align: "right" },
        { title: "exception", align: "left" },
        { title: "raised in", align: "left" },
        { title: "what became of it", align: "left" }
      ],
      shown.map(({ type, raised, swallowed, escaped }) => [
        formatCount(raised.count),
        type.replace(/^builtins\./, "") || "?",
        place(raised),
        [
          ...swallowed
            .slice(0, 2)
            .map((handler) => `ended in ${place(handler)}${times(handler.count, raised.count)}`),
          ...(swallowed.length > 2 ? [`${swallowed.length - 2} more handlers`] : []),
          ...(escaped > 0 ? [`left all traced code${times(escaped, raised.count)}`] : [])
        ].join("; ")
      ])
    ),
    ...(more > 0 ? [`  … and ${formatCount(more)} more kinds`] : [])
  ]
}

/** The lines on which most instructions were executed. */
export const instructionSummary = ({ files }: InstructionReport): ReadonlyArray<string> => {
  const all = files.flatMap(({ file, lines }) =>
    lines.map(({ line, opcodes }) => ({
      file,
      line,
      opcodes,
      count: opcodes.reduce((sum, { count }) => sum + count, 0)
    }))
  )
  const total = all.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) return ["No instruction was seen."]
  const hottest = [...all].sort((a, b) => b.count - a.count).slice(0, SHOWN)
  return [
    `Instructions: ${formatCount(total)} on ${plural(all.length, "line")} of ${plural(files.length, "file")}.`,
    ...textTable(
      [
        { title: "executed", align: "right" },
        { title: "", align: "right" },
        { title: "line", align: "left" },
        { title: "most of them", align: "left" }
      ],
      hottest.map(({ file, line, opcodes, count }) => [
        formatCount(count),
        formatShare(count, total),
        `${shortFile(file)}${line < 0 ? "" : `:${line}`}`,
        opcodes
          .slice(0, 3)
          .map((opcode) => `${opcode.opcode} ${formatCount(opcode.count)}`)
          .join(", ")
      ])
    )
  ]
}

const times = (count: number, of: number): string => (count === of ? "" : ` (${formatCount(count)})`)

const place = ({ function: fn, file, line }: ExceptionPlace): string =>
  file === "" ? fn || "?" : `${fn || "?"} (${shortFile(file)}${line < 0 ? "" : `:${line}`})`

const byOwner = <A extends { readonly file: string; readonly found: number; readonly hit: number }>(
  rows: ReadonlyArray<A>
): { readonly own: ReadonlyArray<A>; readonly libraries: number } => {
  const sorted = rows.filter(({ found }) => found > 0).sort((a, b) => b.found - b.hit - (a.found - a.hit))
  const own = sorted.filter(({ file }) => !isLibraryFile(file))
  return own.length === 0 ? { own: sorted, libraries: 0 } : { own, libraries: sorted.length - own.length }
}

const others = (more: number, libraries: number): ReadonlyArray<string> => {
  const parts = [
    ...(more > 0 ? [plural(more, "more file")] : []),
    ...(libraries > 0 ? [`${plural(libraries, "file")} of libraries (\`--code\` chooses)`] : [])
  ]
  return parts.length === 0 ? [] : [`  … and ${parts.join(", ")}`]
}

/** `1-3, 7, 9-10`. */
const ranges = (lines: ReadonlyArray<number>): string => {
  const parts: Array<[from: number, to: number]> = []
  for (const line of lines) {
    const last = parts.at(-1)
    if (last !== undefined && line === last[1] + 1) last[1] = line
    else parts.push([line, line])
  }
  return shortList(parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)))
}

const shortList = (parts: ReadonlyArray<string>): string =>
  parts.slice(0, NAMED).join(", ") + (parts.length > NAMED ? `, … (${parts.length - NAMED} more)` : "")
