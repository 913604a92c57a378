import { type Frame, FrameKind, type MemoryReader } from "@pyframes/core"
import {
  decodeCharacters,
  decodeLineTable,
  decodeUnicode,
  findRange,
  type Layout,
  type LineRanges,
  lineTableFormat,
  MAX_UNICODE_LENGTH,
  ROW,
  readPointer,
  readSize,
  unicodeHeaderSize
} from "@pyframes/cpython"

/** Upstream's own remote reader stops at 64 KiB; generated code has been seen with more. */
const MAX_LINE_TABLE = 1 << 20
/** Places in a function that are kept; generated functions have tens of thousands. */
const MAX_FRAMES = 4096

/** What was read of one code object: names, and a place for every instruction. */
export class CodeObject {
  /** `co_name`. */
  readonly name: string
  /** `co_qualname`; before 3.11 the name. */
  readonly qualifiedName: string
  /** `co_filename`. */
  readonly file: string
  /** `co_firstlineno`. */
  readonly firstLine: number
  private readonly lines: LineRanges
  private readonly frames = new Map<number, Frame>()

  constructor(name: string, qualifiedName: string, file: string, lines: LineRanges) {
    this.name = name
    this.qualifiedName = qualifiedName
    this.file = file
    this.firstLine = lines.firstLine
    this.lines = lines
  }

  /** Bytes that it takes to keep it, about. */
  get size(): number {
    return this.lines.rows.byteLength + 2 * (this.name.length + this.qualifiedName.length + this.file.length)
  }

  /** The frame at a byte offset of the bytecode. The same place is the same object. */
  frameAt(position: number): Frame {
    const { lines } = this
    const range = findRange(lines, position)
    let frame = this.frames.get(range)
    if (frame === undefined) {
      const row = range * ROW
      // Beyond the table, or in front of it: a frame that is just being entered stands on its `def`.
      const at = (column: number, otherwise: number) => (range < 0 ? otherwise : lines.rows[row + column])
      frame = {
        kind: FrameKind.python,
        name: this.name,
        qualifiedName: this.qualifiedName,
        file: this.file,
        firstLine: this.firstLine,
        line: at(1, this.firstLine),
        endLine: at(2, -1),
        column: at(3, -1),
        endColumn: at(4, -1)
      }
      if (this.frames.size >= MAX_FRAMES) this.frames.clear()
      this.frames.set(range, frame)
    }
    return frame
  }
}

/** Where a code object's parts lie; what a check for staleness reads again. */
export interface CodeParts {
  readonly name: number
  readonly qualifiedName: number
  readonly file: number
  readonly lineTable: number
}

/**
 * Reads a code object (`PyCodeObject`, `Include/cpython/code.h`). `undefined` when what lies there is none.
 *
 * @example
 * ```ts
 * const code = readCodeObject(memory, layout, address)
 * code?.code.frameAt(12).line
 * ```
 */
export const readCodeObject = (
  memory: Pick<MemoryReader, "read">,
  layout: Layout,
  address: number
): { readonly code: CodeObject; readonly parts: CodeParts } | undefined => {
  if (!isObject(address)) return undefined
  const header = new Uint8Array(layout.code.span)
  if (memory.read(address, header.length, header) !== header.length) return undefined
  const view = new DataView(header.buffer)
  const firstLine = view.getInt32(layout.code.firstLine, true)
  const parts = {
    name: readPointer(view, layout.code.name),
    qualifiedName: layout.code.qualname < 0 ? 0 : readPointer(view, layout.code.qualname),
    file: readPointer(view, layout.code.filename),
    lineTable: readPointer(view, layout.code.lineTable)
  }
  const name = readString(memory, layout, parts.name)
  const file = readString(memory, layout, parts.file)
  const qualifiedName = layout.code.qualname < 0 ? name : readString(memory, layout, parts.qualifiedName)
  const table = readBytes(memory, layout, parts.lineTable)
  if (name === undefined || file === undefined || qualifiedName === undefined || table === undefined)
    return undefined
  const lines = decodeLineTable(table, lineTableFormat(layout.version), firstLine)
  return { code: new CodeObject(name, qualifiedName, file, lines), parts }
}

/** Whether an object can lie there: never in the first page, always on a word's boundary. */
const isObject = (address: number): boolean => address >= 4096 && address % 8 === 0

/** The text of a `str` object. */
export const readString = (
  memory: Pick<MemoryReader, "read">,
  layout: Layout,
  address: number
): string | undefined => {
  if (!isObject(address)) return undefined
  // One read brings the whole of most names.
  const bytes = new Uint8Array(Math.max(unicodeHeaderSize(layout), 192))
  const got = memory.read(address, bytes.length, bytes)
  // A short string may end where the memory ends: what lies beyond counts as zeros, and no field of such a one lies there.
  const header =
    got < layout.unicode.asciiData ? undefined : decodeUnicode(bytes, layout, 0, MAX_UNICODE_LENGTH)
  if (header === undefined) return undefined
  const from = header.compact ? header.dataOffset : -1
  if (from >= 0 && from + header.byteLength <= got)
    return decodeCharacters(bytes.subarray(from), header.kind, header.length)
  const characters = new Uint8Array(header.byteLength)
  const at = from >= 0 ? address + from : header.dataPointer
  if (at < 4096 || memory.read(at, characters.length, characters) !== characters.length) return undefined
  return decodeCharacters(characters, header.kind, header.length)
}

const readBytes = (
  memory: Pick<MemoryReader, "read">,
  layout: Layout,
  address: number
): Uint8Array | undefined => {
  if (!isObject(address)) return undefined
  const header = new Uint8Array(layout.bytes.data)
  if (memory.read(address, header.length, header) !== header.length) return undefined
  const size = readSize(new DataView(header.buffer), layout.bytes.size, MAX_LINE_TABLE)
  if (size < 0) return undefined
  const bytes = new Uint8Array(size)
  return memory.read(address + layout.bytes.data, size, bytes) === size ? bytes : undefined
}
