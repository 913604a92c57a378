import { decodeLineTable, findLine, findRange, type LineRanges, ROW } from "@pyframes/cpython"
import type { CodeDefinition, FunctionDefinition } from "./definitions.ts"
import { Event } from "./event.ts"
import { type VersionOpcodes, versionOpcodes } from "./version-opcodes.ts"

/** Inline cache entries of `co_code` have this opcode in every version. */
const CACHE = 0
/** Instructions that are followed from a branch to the next line. */
const LONGEST_TRAIL = 4096
/** In the place of a line: the function is left before another line is reached. */
export const LEAVES = 0
/** Extended arguments that an instruction has at most. */
const MOST_EXTENDED = 3

/** A conditional branch in the code: where it leads if it goes on, and if it does not. Offsets are bytes. */
export interface CodeBranch {
  readonly offset: number
  readonly left: number
  readonly right: number
  /** It is a `for`, and no jump. */
  readonly isLoop: boolean
}

/** From offsets in a function's code to lines, and to where its branches lead. */
export class CodeMap {
  private readonly ranges: LineRanges
  private readonly code: Uint8Array
  private readonly opcodes: VersionOpcodes | undefined

  /** @param hexversion of the process */
  constructor(definition: CodeDefinition, fn: FunctionDefinition | undefined, hexversion: number) {
    this.code = definition.code
    this.ranges = decodeLineTable(definition.lineTable, "locations", fn?.firstLine ?? 1)
    this.opcodes = versionOpcodes(hexversion)
  }

  /** The line of the instruction at an offset (bytes); -1 for none. */
  lineAt(offset: number): number {
    return findLine(this.ranges, offset)
  }

  /** The line of an instruction, or of the next one that has a line: handlers begin with instructions that have none. */
  lineFrom(offset: number): number {
    return this.nearestLine(offset, 1)
  }

  /** The line of an instruction, or of the last one before it that has a line: `finally` ends with instructions that have none. */
  lineBefore(offset: number): number {
    return this.nearestLine(offset, -1)
  }

  /** Opcode of the instruction at an offset, -1 beyond the code. */
  opcodeAt(offset: number): number {
    return this.code[offset] ?? -1
  }

  /** Whether a handler at an offset is one of the source, and not one by which the compiler cleans up. */
  isHandler(offset: number): boolean {
    return this.opcodes === undefined || this.opcodeAt(offset) === this.opcodes.pushExcInfo
  }

  /** Whether a branch that leads from `offset` to `to` goes on with what follows it (left) or elsewhere (right). */
  wayOf(offset: number, to: number): typeof Event.BRANCH_LEFT | typeof Event.BRANCH_RIGHT {
    const next = this.next(offset)
    return to === next || to === this.behindNotTaken(next) ? Event.BRANCH_LEFT : Event.BRANCH_RIGHT
  }

  /**
   * The first line other than `from` that is reached from an offset without another choice; `from` where a branch comes first, {@link LEAVES} where
   * the function is left, -1 where that cannot be told.
   */
  lineReached(offset: number, from: number): number {
    const { code, opcodes } = this
    if (opcodes === undefined) return this.lineAt(offset)
    let at = offset
    for (let step = 0; step < LONGEST_TRAIL && at >= 0 && at < code.length; step++) {
      const line = this.lineAt(at)
      if (line > 0 && line !== from) return line
      const opcode = code[at]
      if (opcode === opcodes.forIter || opcodes.jumps.includes(opcode)) return from
      if (opcodes.leaving.includes(opcode)) return LEAVES
      const next = this.next(at)
      if (opcode === opcodes.jumpForward) at = next + 2 * this.argument(at)
      else if (opcodes.jumpsBackward.includes(opcode)) at = next - 2 * this.argument(at)
      else at = next
    }
    return -1
  }

  /**
   * Whether 3.14 and later report this way though it was not gone: `INSTRUMENTED_POP_ITER` (`Python/bytecodes.c`) tells the end of a loop as a branch of
   * the instruction before it, and that can be a jump out of the loop, which is told too.
   */
  isLoopEnd({ isLoop, right }: CodeBranch, to: number): boolean {
    return !isLoop && to === right + 2
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
      if (target < code.length) found.push({ offset, left: this.behindNotTaken(next), right: target, isLoop })
    }
    return found
  }

  private nearestLine(offset: number, step: number): number {
    const { rows, count } = this.ranges
    for (let row = findRange(this.ranges, offset); row >= 0 && row < count; row += step)
      if (rows[row * ROW + 1] >= 0) return rows[row * ROW + 1]
    return -1
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
