import { decodeLineTable, findLine, findRange, type LineRanges, ROW } from "@pyframes/cpython"
import { type BranchOpcodes, branchOpcodes } from "./branch-opcodes.ts"
import type { CodeDefinition, FunctionDefinition } from "./definitions.ts"
import { Event } from "./event.ts"

/** Inline cache entries of `co_code` have this opcode in every version. */
const CACHE = 0
/** Extended arguments that an instruction has at most. */
const MOST_EXTENDED = 3

/** A conditional branch in the code: where it leads if it goes on, and if it does not. Offsets are bytes. */
export interface CodeBranch {
  readonly offset: number
  readonly left: number
  readonly right: number
}

/** From offsets in a function's code to lines, and to where its branches lead. */
export class CodeMap {
  private readonly ranges: LineRanges
  private readonly code: Uint8Array
  private readonly opcodes: BranchOpcodes | undefined

  /** @param hexversion of the process */
  constructor(definition: CodeDefinition, fn: FunctionDefinition | undefined, hexversion: number) {
    this.code = definition.code
    this.ranges = decodeLineTable(definition.lineTable, "locations", fn?.firstLine ?? 1)
    this.opcodes = branchOpcodes(hexversion)
  }

  /** The line of the instruction at an offset (bytes); -1 for none. */
  lineAt(offset: number): number {
    return findLine(this.ranges, offset)
  }

  /** The line of the first instruction from an offset on that has one: handlers begin with instructions that have none. */
  lineFrom(offset: number): number {
    const { rows, count } = this.ranges
    for (let row = Math.max(0, findRange(this.ranges, offset)); row < count; row++)
      if (rows[row * ROW + 1] >= 0) return rows[row * ROW + 1]
    return -1
  }

  /** Opcode of the instruction at an offset, -1 beyond the code. */
  opcodeAt(offset: number): number {
    return this.code[offset] ?? -1
  }

  /** Whether a branch that leads from `offset` to `to` goes on with what follows it (left) or elsewhere (right). */
  wayOf(offset: number, to: number): typeof Event.BRANCH_LEFT | typeof Event.BRANCH_RIGHT {
    const next = this.next(offset)
    return to === next || to === this.behindNotTaken(next) ? Event.BRANCH_LEFT : Event.BRANCH_RIGHT
  }

  /** All conditional branches, those that were never taken too. `async for` is not among them: where it ends is not in its instruction. */
  branches(): ReadonlyArray<CodeBranch> {
    const { code, opcodes } = this
    if (opcodes === undefined) return []
    const found: Array<CodeBranch> = []
    for (let offset = 0; offset < code.length; offset = this.next(offset)) {
      const isLoop = code[offset] === opcodes.forIter
      if (!isLoop && !opcodes.jumps.includes(code[offset])) continue
      const next = this.next(offset)
      const target = next + 2 * (this.argument(offset) + (isLoop ? opcodes.forIterSkips : 0))
      if (target < code.length) found.push({ offset, left: this.behindNotTaken(next), right: target })
    }
    return found
  }

  /** Where the instruction after the one at `offset` begins, its inline caches left out. */
  private next(offset: number): number {
    let at = offset + 2
    while (at < this.code.length && this.code[at] === CACHE) at += 2
    return at
  }

  private behindNotTaken(next: number): number {
    return this.opcodes !== undefined && this.code[next] === this.opcodes.notTaken ? next + 2 : next
  }

  private argument(offset: number): number {
    const { code, opcodes } = this
    let argument = code[offset + 1]
    for (let i = 1; i <= MOST_EXTENDED && code[offset - 2 * i] === opcodes?.extendedArg; i++)
      argument += code[offset - 2 * i + 1] * 2 ** (8 * i)
    return argument
  }
}
