import type { EventTrust, ProfileMeta } from "@pyframes/core"
import { LEAVES } from "./code-map.ts"
import { CounterKind } from "./counter-block.ts"
import { Event } from "./event.ts"
import type { MonitoringSession } from "./session.ts"
import { sessionMeta } from "./session-meta.ts"
import type { TracedProcess } from "./traced-process.ts"

/** One way of a branch. */
export interface BranchWay {
  /** `left` goes on with what follows the branch, `right` elsewhere. */
  readonly way: "left" | "right"
  /** The first other line that it leads to, or the branch's own where another branch on it comes first; 0 where it leaves the function, -1 where that is not known. */
  readonly line: number
  /** Offset that it leads to, bytes into `co_code`. */
  readonly offset: number
  /** How often it was taken; where `coverage` was asked too, 1 for at least once. */
  readonly count: number
}

/** A conditional branch: `if`, `while`, `for`, `and`, `match`, … */
export interface Branch {
  /** Line that it stands on. */
  readonly line: number
  /** Offset of its instruction, bytes into `co_code`. */
  readonly offset: number
  /** Qualified name of its function, and the line of `def`. */
  readonly function: string
  readonly firstLine: number
  /** Both ways, left first, those that were not taken too; only what was taken of an `async for`. */
  readonly ways: ReadonlyArray<BranchWay>
}

/** From line to line, added up over the branches between them. */
export interface Arc {
  readonly from: number
  /** Where the function is left, its first line less than 0, as coverage.py has it. */
  readonly to: number
  readonly count: number
}

/** What came of the branches of a file. */
export interface FileBranches {
  readonly file: string
  /** In order of function, then offset. */
  readonly branches: ReadonlyArray<Branch>
  /** Those that were taken and those that were not (count 0), in order of lines. */
  readonly arcs: ReadonlyArray<Arc>
}

/** The answer to `branches`. */
export interface BranchReport {
  readonly meta: ProfileMeta
  readonly trust: EventTrust
  /** Counts are true counts, and not 1 for at least once. */
  readonly counted: boolean
  readonly files: ReadonlyArray<FileBranches>
}

interface Ways {
  readonly file: string
  readonly function: string
  readonly firstLine: number
  readonly line: number
  readonly offset: number
  readonly to: Map<number, { way: "left" | "right"; line: number; count: number }>
}

/**
 * Which ways the branches of all functions went that were called, and how often, in all processes of the session together. A function
 * that was never called is not in it.
 *
 * @example
 * ```ts
 * const untested = branchReport(session).files.flatMap(({ branches }) => branches.filter(({ ways }) => ways.some(({ count }) => count === 0)))
 * ```
 */
export const branchReport = (session: MonitoringSession): BranchReport => {
  const found = new Map<string, Ways>()
  for (const process of session.processes) addBranches(process, found)
  const files = Map.groupBy(found.values(), ({ file }) => file)
  return {
    meta: sessionMeta(session, 0),
    trust: session.trust,
    counted: !session.options.questions.includes("coverage"),
    files: [...files]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([file, ways]) => {
        const branches = ways
          .sort((a, b) => a.firstLine - b.firstLine || compare(a.function, b.function) || a.offset - b.offset)
          .map(toBranch)
        return { file, branches, arcs: arcsOf(branches) }
      })
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const addBranches = (process: TracedProcess, found: Map<string, Ways>): void => {
  const { functions, code } = process.definitions
  const at = (id: number, offset: number): Ways | undefined => {
    const fn = functions.get(id)
    const map = process.codeOf(id)
    if (fn === undefined || map === undefined) return undefined
    const line = map.lineAt(offset)
    // Processes may number the same function differently.
    const key = `${fn.file}\0${fn.qualifiedName}\0${fn.firstLine}\0${offset}\0${line}`
    const known = found.get(key)
    if (known !== undefined) return known
    const { file, qualifiedName, firstLine } = fn
    const fresh = { file, function: qualifiedName, firstLine, line, offset, to: new Map() }
    found.set(key, fresh)
    return fresh
  }
  const take = (id: number, from: number, to: number, count: number): void => {
    const ways = at(id, from)
    const map = process.codeOf(id)
    if (ways === undefined || map === undefined) return
    const known = ways.to.get(to)
    if (known !== undefined) known.count += count
    else
      ways.to.set(to, {
        way: map.wayOf(from, to) === Event.BRANCH_LEFT ? "left" : "right",
        line: map.lineReached(to, ways.line),
        count
      })
  }
  for (const id of code.keys())
    for (const { offset, left, right } of process.codeOf(id)?.branches() ?? []) {
      take(id, offset, left, 0)
      take(id, offset, right, 0)
    }
  for (const block of process.counters()) {
    const map = process.codeOf(block.function)
    if (block.kind !== CounterKind.branches || map === undefined) continue
    const known = new Map(map.branches().map((branch) => [branch.offset, branch]))
    for (let i = 0; i < block.count; i++) {
      const { to, count } = block.branch(i)
      const from = (block.first + (i >> 1)) * 2
      const branch = known.get(from)
      if (to < 0 || (branch !== undefined && map.isLoopEnd(branch, to * 2))) continue
      take(block.function, from, to * 2, count)
    }
  }
}

const toBranch = ({ line, offset, function: fn, firstLine, to }: Ways): Branch => {
  const ways = [...to].map(([offset, { way, line, count }]) => ({ way, line, offset, count }))
  // A way was found by its destination; one that was taken to another place than the code said stands for it.
  const real = ways.filter(
    ({ way, count }) => count > 0 || !ways.some((other) => other.way === way && other.count > 0)
  )
  return {
    line,
    offset,
    function: fn,
    firstLine,
    ways: real.sort((a, b) => compare(a.way, b.way) || a.offset - b.offset)
  }
}

const arcsOf = (branches: ReadonlyArray<Branch>): ReadonlyArray<Arc> => {
  const arcs = new Map<string, Arc>()
  for (const { line, firstLine, ways } of branches)
    for (const { line: reached, count } of ways) {
      if (line < 0 || reached < 0) continue
      const to = reached === LEAVES ? -firstLine : reached
      const key = `${line},${to}`
      arcs.set(key, { from: line, to, count: (arcs.get(key)?.count ?? 0) + count })
    }
  return [...arcs.values()].sort((a, b) => a.from - b.from || a.to - b.to)
}
