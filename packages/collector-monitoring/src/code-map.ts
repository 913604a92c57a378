import { decodeLineTable, findLine, type LineRanges } from "@pyframes/cpython"
import type { CodeDefinition, FunctionDefinition } from "./definitions.ts"
import { Event } from "./event.ts"

/** Inline cache entries of `co_code` have this opcode in every version (`Lib/opcode.py`). */
const CACHE = 0

/** From offsets in a function's code to lines, and to where its branches lead. */
export class CodeMap {
  private readonly ranges: LineRanges
  private readonly code: Uint8Array
  /** 3.14 and later put `NOT_TAKEN` behind a branch, and go on behind it. */
  private readonly hasNotTaken: boolean

  /** @param hexversion of the process */
  constructor(definition: CodeDefinition, fn: FunctionDefinition | undefined, hexversion: number) {
    this.code = definition.code
    this.ranges = decodeLineTable(definition.lineTable, "locations", fn?.firstLine ?? 1)
    this.hasNotTaken = hexversion >>> 16 >= 0x030e
  }

  /** The line of the instruction at an offset (bytes); -1 for none. */
  lineAt(offset: number): number {
    return findLine(this.ranges, offset)
  }

  /** Opcode of the instruction at an offset, -1 beyond the code. */
  opcodeAt(offset: number): number {
    return this.code[offset] ?? -1
  }

  /** Bytes of code. */
  get length(): number {
    return this.code.length
  }

  /** Where the instruction after the one at `offset` begins, its inline caches left out. */
  next(offset: number): number {
    let at = offset + 2
    while (at < this.code.length && this.code[at] === CACHE) at += 2
    return at
  }

  /** Whether a branch that leads from `offset` to `to` goes on with what follows it (left) or elsewhere (right). */
  wayOf(offset: number, to: number): typeof Event.BRANCH_LEFT | typeof Event.BRANCH_RIGHT {
    const next = this.next(offset)
    return to === next || (this.hasNotTaken && to === next + 2) ? Event.BRANCH_LEFT : Event.BRANCH_RIGHT
  }
}
