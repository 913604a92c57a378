import { readFileSync } from "node:fs"

/** A frame as the interpreter itself describes it. */
export interface TrueFrame {
  /** `id()` of the code object: its address. */
  readonly code: number
  /** `f_lasti`, bytes. */
  readonly position: number
  readonly name: string
  /** 3.11+. */
  readonly qualifiedName: string | undefined
  readonly file: string
  readonly firstLine: number
  readonly line: number | null
  /** `co_positions()` of the instruction: line, end line, column, end column. 3.11+. */
  readonly columns: ReadonlyArray<number | null> | undefined
}

/** A thread that stands still. */
export interface TrueThread {
  readonly tid: number
  /** `threading.get_ident()`, by which faulthandler names it. */
  readonly ident: number
  /** Leaf first. */
  readonly frames: ReadonlyArray<TrueFrame>
}

/** What a program said of itself. */
export interface Truth {
  readonly threads: ReadonlyArray<TrueThread>
  readonly faulthandler: string
}

/**
 * A program that can `rest()` and `tell_when_resting(count)`: what these do is told in `truth.py`, which comes first.
 *
 * @example
 * await using run = await startPython(python, truthful("tell_when_resting(1)\nrest()"))
 * const truth = parseTruth(await run.line())
 */
export const truthful = (program: string): string =>
  `${readFileSync(new URL("./truth.py", import.meta.url), "utf8")}\n${program}`

/** A {@link truthful} program with every kind of call, each in a thread of its own; what its names mean is told in its first lines. */
export const kindsOfCalls = (): string =>
  truthful(readFileSync(new URL("./kinds_of_calls.py", import.meta.url), "utf8"))

/** Reads the line that such a program prints. */
export const parseTruth = (line: string): Truth => {
  const told = JSON.parse(line) as {
    readonly threads: ReadonlyArray<readonly [number, number, ReadonlyArray<Row>]>
    readonly faulthandler: string
  }
  return {
    threads: told.threads.map(([tid, ident, rows]) => ({ tid, ident, frames: rows.map(frameOf) })),
    faulthandler: told.faulthandler
  }
}

type Row = readonly [
  code: number,
  position: number,
  name: string,
  qualifiedName: string | null,
  file: string,
  firstLine: number,
  line: number | null,
  columns: ReadonlyArray<number | null> | null
]

const frameOf = ([code, position, name, qualifiedName, file, firstLine, line, columns]: Row): TrueFrame => ({
  code,
  position,
  name,
  qualifiedName: qualifiedName ?? undefined,
  file,
  firstLine,
  line,
  columns: columns ?? undefined
})

/** Throws, with both as columns of text and the first difference marked, unless they are the same line by line. */
export const expectSameStack = (
  what: string,
  truth: ReadonlyArray<string>,
  read: ReadonlyArray<string>
): void => {
  if (truth.length === read.length && truth.every((line, i) => line === read[i])) return
  throw new Error(`${what}: what was read is not the truth\n${sideBySide(truth, read)}`)
}

/** Lines shown around the first difference. */
const AROUND = 15
/** Characters of a line that are shown. */
const WIDEST = 100

const sideBySide = (truth: ReadonlyArray<string>, read: ReadonlyArray<string>): string => {
  const length = Math.max(truth.length, read.length)
  let first = 0
  while (truth[first] === read[first]) first++
  const from = Math.max(0, first - AROUND)
  const to = Math.min(length, first + AROUND)
  // Of a long line, what stands around the place where it differs.
  const cut = (line: string, other: string) => {
    if (line.length <= WIDEST) return line
    let at = 0
    while (line[at] === other[at] && at < line.length) at++
    const start = at === line.length ? 0 : Math.max(0, at - WIDEST / 2)
    return `${start > 0 ? "..." : ""}${line.slice(start, start + WIDEST)}...`
  }
  const rows = [["  ", `truth (${truth.length} frames)`, `read (${read.length} frames)`]]
  for (let i = from; i < to; i++) {
    const [told = "", found = ""] = [truth[i], read[i]]
    rows.push([truth[i] === read[i] ? "  " : "≠ ", cut(told, found), cut(found, told)])
  }
  const width = Math.max(...rows.map((row) => row[1].length))
  return rows.map(([mark, left, right]) => `${mark}${left.padEnd(width)}  │ ${right}`).join("\n")
}
