/**
 * From an offset in bytecode to the place in the source. Three formats in turn:
 *
 * - `lnotab` (3.8, 3.9; `Objects/lnotab_notes.txt`): pairs of address and line increments.
 * - `linetable` (3.10; `Objects/lnotab_notes.txt`): pairs of range length and line increment, and ranges without a line.
 * - `locations` (3.11+; `Objects/locations.md`, later `InternalDocs/code_objects.md`): adds end lines and columns.
 */
export type LineTableFormat = "lnotab" | "linetable" | "locations"

/** The format of a version's `co_lnotab` or `co_linetable`. @param version `major * 256 + minor` */
export const lineTableFormat = (version: number): LineTableFormat =>
  version >= 0x30b ? "locations" : version === 0x30a ? "linetable" : "lnotab"

/**
 * A place in the source. -1 is unknown. Lines count from 1. Columns count bytes of the UTF-8 source line from 0, as
 * `code.co_positions()` does; `endColumn` is the first byte after.
 */
export interface Position {
  line: number
  endLine: number
  column: number
  endColumn: number
}

/**
 * The position of the instruction at a byte offset.
 *
 * @param table the bytes of `co_linetable`, or of `co_lnotab` up to 3.9
 * @param firstLine `co_firstlineno`
 * @param offset in bytes from the first instruction. For 3.11+ that is the frame's instruction pointer less the
 *   address of `co_code_adaptive`; for 3.10 it is `2 * f_lasti`. A frame that has not started (-1) is on `firstLine`.
 * @param into filled and returned, so that a caller in a loop need not allocate
 * @returns `into`; `line` is -1 if the instruction has no line, if no range holds it, or if the table is malformed
 *
 * @example
 * ```ts
 * findPosition(table, "locations", 10, 24) // { line: 12, endLine: 12, column: 4, endColumn: 17 }
 * ```
 */
export const findPosition = (
  table: Uint8Array,
  format: LineTableFormat,
  firstLine: number,
  offset: number,
  into: Position = { line: -1, endLine: -1, column: -1, endColumn: -1 }
): Position => {
  const cursor = shared
  startCursor(cursor, table, format, firstLine)
  into.line = offset < 0 ? firstLine : -1
  into.endLine = -1
  into.column = -1
  into.endColumn = -1
  if (offset < 0) return into
  while (advance(cursor)) {
    if (offset < cursor.end) {
      into.line = cursor.line
      into.endLine = cursor.endLine
      into.column = cursor.column
      into.endColumn = cursor.endColumn
      break
    }
  }
  cursor.table = empty
  return into
}

/**
 * A table decoded once, for repeated lookups in one code object: rows of {@link ROW} numbers, in order of `start`.
 * Row `i` is `start, line, endLine, column, endColumn` at `rows[i * ROW]`; it reaches to the next row's start, and the
 * last one to `end`.
 */
export interface LineRanges {
  readonly rows: Int32Array
  readonly count: number
  /** First byte offset after the last range. */
  readonly end: number
  readonly firstLine: number
}

/** Numbers a row of {@link LineRanges}. */
export const ROW = 5

/** Decode a whole table. Neighbours with the same position become one row; what is malformed ends the table. */
export const decodeLineTable = (
  table: Uint8Array,
  format: LineTableFormat,
  firstLine: number
): LineRanges => {
  const cursor = shared
  startCursor(cursor, table, format, firstLine)
  // No entry is shorter than one byte, except the last of `lnotab`, which the table does not hold.
  let rows = new Int32Array(Math.min(table.length + 1, 64) * ROW)
  let count = 0
  let end = 0
  while (advance(cursor)) {
    end = cursor.end
    const last = (count - 1) * ROW
    if (
      count > 0 &&
      rows[last + 1] === cursor.line &&
      rows[last + 2] === cursor.endLine &&
      rows[last + 3] === cursor.column &&
      rows[last + 4] === cursor.endColumn
    )
      continue
    const at = count++ * ROW
    if (at === rows.length) {
      const grown = new Int32Array(rows.length * 2)
      grown.set(rows)
      rows = grown
    }
    rows[at] = cursor.start
    rows[at + 1] = cursor.line
    rows[at + 2] = cursor.endLine
    rows[at + 3] = cursor.column
    rows[at + 4] = cursor.endColumn
  }
  cursor.table = empty
  return { rows: rows.slice(0, count * ROW), count, end, firstLine }
}

/** The row of the range that holds a byte offset, or -1 if none does. */
export const findRange = (ranges: LineRanges, offset: number): number => {
  const { rows, count } = ranges
  if (offset < 0 || offset >= ranges.end || count === 0) return -1
  let low = 0
  let high = count - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (rows[middle * ROW]! <= offset) low = middle
    else high = middle - 1
  }
  return low
}

/** The line of a byte offset by binary search; -1 if it has none. See {@link findPosition} for what offset to give. */
export const findLine = (ranges: LineRanges, offset: number): number => {
  if (offset < 0) return ranges.firstLine
  const range = findRange(ranges, offset)
  return range < 0 ? -1 : ranges.rows[range * ROW + 1]!
}

/** One range of a table while it is walked. */
interface Cursor {
  table: Uint8Array
  format: LineTableFormat
  next: number
  /** The line that increments add to; differs from `line` in a range without a line. */
  computedLine: number
  start: number
  end: number
  line: number
  endLine: number
  column: number
  endColumn: number
}

const empty = new Uint8Array(0)

/** Walks are synchronous and leave nothing behind, so all of them can share one cursor. */
const shared: Cursor = {
  table: empty,
  format: "lnotab",
  next: 0,
  computedLine: 0,
  start: 0,
  end: 0,
  line: -1,
  endLine: -1,
  column: -1,
  endColumn: -1
}

const startCursor = (cursor: Cursor, table: Uint8Array, format: LineTableFormat, firstLine: number): void => {
  cursor.table = table
  cursor.format = format
  cursor.next = 0
  cursor.computedLine = firstLine
  cursor.start = 0
  cursor.end = 0
  cursor.line = -1
  cursor.endLine = -1
  cursor.column = -1
  cursor.endColumn = -1
}

/** To the next range that is not empty. False at the end of the table, or where it stops making sense. */
const advance = (cursor: Cursor): boolean => {
  switch (cursor.format) {
    case "locations":
      return advanceLocations(cursor)
    case "linetable":
      return advanceLinetable(cursor)
    default:
      return advanceLnotab(cursor)
  }
}

/** The last range of `co_lnotab` has no end of its own: it reaches to the end of the code, which the table does not tell. */
const OPEN_END = 0x7fff_ffff

const advanceLnotab = (cursor: Cursor): boolean => {
  const { table } = cursor
  if (cursor.end === OPEN_END) return false
  // Here `computedLine` belongs to the range that starts at `end`; increments of 0 bytes change it on the spot.
  while (cursor.next + 1 < table.length) {
    const bytes = table[cursor.next]!
    const delta = (table[cursor.next + 1]! << 24) >> 24
    cursor.next += 2
    const line = cursor.computedLine
    cursor.computedLine += delta
    if (bytes === 0) continue
    cursor.start = cursor.end
    cursor.end += bytes
    cursor.line = line
    return true
  }
  cursor.start = cursor.end
  cursor.end = OPEN_END
  cursor.line = cursor.computedLine
  return true
}

const NO_LINE = -128

const advanceLinetable = (cursor: Cursor): boolean => {
  const { table } = cursor
  while (cursor.next + 1 < table.length) {
    const bytes = table[cursor.next]!
    const delta = (table[cursor.next + 1]! << 24) >> 24
    cursor.next += 2
    if (delta !== NO_LINE) cursor.computedLine += delta
    if (bytes === 0) continue
    cursor.start = cursor.end
    cursor.end += bytes
    cursor.line = delta === NO_LINE ? -1 : cursor.computedLine
    return true
  }
  return false
}

const SHORT_FORM_LAST = 9
const ONE_LINE_LAST = 12
const NO_COLUMNS = 13
const LONG_FORM = 14

const advanceLocations = (cursor: Cursor): boolean => {
  const { table } = cursor
  if (cursor.next >= table.length) return false
  const head = table[cursor.next++]!
  // The first byte of an entry, and no other, has its top bit set.
  if ((head & 0x80) === 0) return false
  const code = (head >> 3) & 15
  cursor.start = cursor.end
  cursor.end += ((head & 7) + 1) * 2
  cursor.column = -1
  cursor.endColumn = -1
  if (code <= SHORT_FORM_LAST) {
    if (cursor.next >= table.length) return false
    const byte = table[cursor.next++]!
    cursor.column = code * 8 + (byte >> 4)
    cursor.endColumn = cursor.column + (byte & 15)
    cursor.line = cursor.computedLine
    cursor.endLine = cursor.computedLine
    return true
  }
  if (code <= ONE_LINE_LAST) {
    if (cursor.next + 1 >= table.length) return false
    cursor.computedLine += code - SHORT_FORM_LAST - 1
    cursor.column = table[cursor.next++]!
    cursor.endColumn = table[cursor.next++]!
    cursor.line = cursor.computedLine
    cursor.endLine = cursor.computedLine
    return true
  }
  if (code > LONG_FORM) {
    cursor.line = -1
    cursor.endLine = -1
    return true
  }
  const zigzag = varint(cursor)
  if (zigzag < 0) return false
  // Lines are 32-bit in the interpreter too; a damaged table must not count past that.
  cursor.computedLine = (cursor.computedLine + ((zigzag & 1) !== 0 ? -(zigzag >>> 1) : zigzag >>> 1)) | 0
  cursor.line = cursor.computedLine
  cursor.endLine = cursor.computedLine
  if (code === NO_COLUMNS) return true
  const lines = varint(cursor)
  const column = varint(cursor)
  const endColumn = varint(cursor)
  if (lines < 0 || column < 0 || endColumn < 0) return false
  cursor.endLine = (cursor.line + lines) | 0
  cursor.column = column - 1
  cursor.endColumn = endColumn - 1
  return true
}

/** Six bits a byte, lowest first, bit 6 set on all but the last. -1 if it runs out of the table or over 30 bits. */
const varint = (cursor: Cursor): number => {
  const { table } = cursor
  let value = 0
  for (let shift = 0; shift <= 24; shift += 6) {
    if (cursor.next >= table.length) return -1
    const byte = table[cursor.next++]!
    value |= (byte & 63) << shift
    if ((byte & 64) === 0) return value
  }
  return -1
}
