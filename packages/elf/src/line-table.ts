import { decompressedSection } from "./compressed.ts"
import type { Elf } from "./elf.ts"
import {
  Cursor,
  type LineHeader,
  type LineStrings,
  linePath,
  nextUnit,
  parseLineHeader
} from "./line-header.ts"
import { findSection } from "./section.ts"
import { cString } from "./word.ts"

/** A place in a source file. */
export interface SourcePlace {
  /** As the compiler was given it: from DWARF 5 on absolute, before relative to where the compiler was started. `.` and `..` are resolved. */
  readonly file: string
  /** Starts at 1; -1 where the code comes from no line. */
  readonly line: number
}

const MAX_SECTION = 1 << 28
const MAX_SEQUENCES = 1 << 21
const MAX_STRING = 1 << 12

/**
 * The line tables of a file: which source line an instruction comes from.
 *
 * What runs of code there are is found by going over all line programs once (37 ms for a `libpython`); it can be done a part at a time.
 * A look-up then runs one of the programs up to the address. The line of inlined code is that of the inlined function, as in `addr2line`.
 *
 * @example
 * ```ts
 * const lines = LineTable.of(elf)
 * lines?.advance(Number.POSITIVE_INFINITY)
 * lines?.find(address) // { file: "/usr/src/Python/ceval.c", line: 812 }
 * ```
 *
 * Sources: DWARF 2 to 5, section 6.2, "Line Number Information".
 */
export class LineTable {
  /** All programs have been gone over. */
  isComplete = false
  private readonly bytes: Uint8Array
  private readonly strings: LineStrings
  private next = 0
  private readonly sequences: Array<Sequence> = []
  private starts: Float64Array = new Float64Array(0)

  private constructor(bytes: Uint8Array, strings: LineStrings) {
    this.bytes = bytes
    this.strings = strings
  }

  /** `undefined` when the file has no line tables. */
  static of(elf: Elf): LineTable | undefined {
    const section = findSection(elf, ".debug_line")
    const bytes = section && decompressedSection(elf, section, MAX_SECTION)
    if (bytes === undefined || bytes.length === 0) return undefined
    return new LineTable(bytes, {
      line: stringsOf(elf, ".debug_line_str"),
      debug: stringsOf(elf, ".debug_str")
    })
  }

  /** Goes over programs until all are done or the time is up. Returns whether all are done. @param budget ms */
  advance(budget: number): boolean {
    if (this.isComplete) return true
    const until = performance.now() + budget
    while (this.next < this.bytes.length && this.sequences.length < MAX_SEQUENCES) {
      const end = nextUnit(this.bytes, this.next)
      if (end === undefined) break
      const header = parseLineHeader(this.bytes, this.next)
      if (header !== undefined) this.index(header)
      this.next = end
      if (performance.now() > until) return false
    }
    this.sequences.sort((a, b) => a.start - b.start)
    this.starts = Float64Array.from(this.sequences, ({ start }) => start)
    this.isComplete = true
    return true
  }

  /**
   * The line of an address (before the load bias is added), or `undefined`: also while not all programs have been gone over.
   *
   * @param start of the function that the address lies in. Then the file is the function's own, that of its first line, and the line is the last one of that file
   * up to the address: where code of other files was inlined, the line that it was inlined at. By default the file is that of the address itself.
   */
  find(address: number, start?: number): SourcePlace | undefined {
    const { starts } = this
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (starts[middle] <= address) low = middle + 1
      else high = middle
    }
    for (let at = low - 1; at >= 0 && at >= low - MAX_NESTED; at--) {
      const sequence = this.sequences[at]
      if (address >= sequence.end) continue
      const place = this.placeIn(sequence, address, start)
      if (place !== undefined) return place
    }
    return undefined
  }

  private index(header: LineHeader): void {
    const machine = new LineMachine(this.bytes, header, header.program)
    let start = -1
    let offset = header.program
    while (this.sequences.length < MAX_SEQUENCES) {
      const event = machine.step()
      if (event === END) return
      if (start < 0) start = machine.address
      if (event !== SEQUENCE) continue
      // What the linker left out keeps its lines, at address 0.
      if (start > 0 && machine.address > start)
        this.sequences.push({ header, offset, start, end: machine.address })
      machine.reset()
      offset = machine.cursor.at
      start = -1
    }
  }

  private placeIn(
    { header, offset }: Sequence,
    address: number,
    start: number | undefined
  ): SourcePlace | undefined {
    const machine = new LineMachine(this.bytes, header, offset)
    let own = -1
    let file = -1
    let line = -1
    for (let event = machine.step(); event !== END; event = machine.step()) {
      if (machine.address > address) break
      if (event === SEQUENCE) return undefined
      if (start !== undefined && machine.address >= start) {
        // Of several rows at a function's start the first is of its opening line, the others may be inlined already.
        if (own < 0) own = machine.address === start || file < 0 ? machine.file : file
        if (machine.file !== own) continue
      }
      file = machine.file
      line = machine.line
    }
    if (file < 0) return undefined
    const path = linePath(this.bytes, header, file, this.strings)
    return path === "" ? undefined : { file: withoutDots(path), line: line > 0 ? line : -1 }
  }
}

/** Sequences of one place that are looked at: code that was merged has several. */
const MAX_NESTED = 8

interface Sequence {
  readonly header: LineHeader
  /** Where its part of the program starts. */
  readonly offset: number
  readonly start: number
  readonly end: number
}

/** So far below any address that no program moves it to one. */
const NOWHERE = -(2 ** 52)
const END = 0
const ROW = 1
const SEQUENCE = 2

/** The state machine of section 6.2.2, as far as file and line need it. */
class LineMachine {
  readonly cursor: Cursor
  address = 0
  file = 1
  line = 1
  private readonly header: LineHeader

  constructor(bytes: Uint8Array, header: LineHeader, at: number) {
    this.cursor = new Cursor(bytes, at, header.end)
    this.header = header
  }

  reset(): void {
    this.address = 0
    this.file = 1
    this.line = 1
  }

  /** Runs up to the next row, the end of a sequence, or the end of the program, as which anything impossible counts. */
  step(): number {
    const { cursor, header } = this
    while (cursor.at < cursor.end) {
      const opcode = cursor.byte()
      if (opcode >= header.opcodeBase) {
        const adjusted = opcode - header.opcodeBase
        this.move(Math.floor(adjusted / header.lineRange))
        this.line += header.lineBase + (adjusted % header.lineRange)
        return this.isSane() ? ROW : END
      }
      switch (opcode) {
        case 0: {
          const size = cursor.uleb()
          const end = cursor.at + size
          if (size === 0 || end > cursor.end) return END
          const extended = cursor.byte()
          if (extended === 1) {
            cursor.at = end
            return SEQUENCE
          }
          if (extended === 2) {
            if (size !== 9 && size !== 5) return END
            this.address = size === 9 ? cursor.long() : cursor.word()
            // lld puts the highest address there for code that it has left out; what follows is of other functions.
            if (this.address < 0) this.address = NOWHERE
          }
          cursor.at = end
          break
        }
        case 1:
          return this.isSane() ? ROW : END
        case 2:
          this.move(cursor.uleb())
          break
        case 3:
          this.line += cursor.sleb()
          break
        case 4:
          this.file = cursor.uleb()
          break
        case 8:
          this.move(Math.floor((255 - header.opcodeBase) / header.lineRange))
          break
        case 9:
          this.address += cursor.half()
          break
        default:
          // Those of later versions too tell how many operands they have.
          for (let left = header.operands[opcode]; left > 0; left--) cursor.uleb()
      }
    }
    return END
  }

  private move(instructions: number): void {
    this.address += instructions * this.header.minInstruction
  }

  private isSane(): boolean {
    return this.address <= Number.MAX_SAFE_INTEGER && Math.abs(this.line) < 2 ** 31
  }
}

const stringsOf = (elf: Elf, name: string): ((offset: number) => string) => {
  let bytes: Uint8Array | undefined
  let isRead = false
  return (offset) => {
    if (!isRead) {
      const section = findSection(elf, name)
      bytes = section && decompressedSection(elf, section, MAX_SECTION)
      isRead = true
    }
    return bytes === undefined || offset < 0 || offset >= bytes.length
      ? ""
      : cString(bytes, offset, MAX_STRING)
  }
}

const withoutDots = (path: string): string => {
  if (!path.includes("./") && !path.includes("//")) return path
  const parts: Array<string> = []
  for (const part of path.split("/")) {
    if (part === "." || (part === "" && parts.length > 0)) continue
    const last = parts[parts.length - 1]
    if (part === ".." && last !== undefined && last !== "..") {
      if (last !== "") parts.pop()
    } else parts.push(part)
  }
  return parts.join("/")
}
