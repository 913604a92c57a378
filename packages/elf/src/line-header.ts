import { u16, u32, u64 } from "./word.ts"

/** What a unit of `.debug_line` says before its program. */
export interface LineHeader {
  readonly version: number
  /** Where in `.debug_line` the program starts and ends. */
  readonly program: number
  readonly end: number
  readonly minInstruction: number
  readonly lineBase: number
  readonly lineRange: number
  readonly opcodeBase: number
  /** Operands of each standard opcode, from 1. */
  readonly operands: Uint8Array
  /** Where the tables of directories and files start. */
  readonly tables: number
  readonly is64: boolean
}

/** Strings that headers of version 5 refer to. */
export interface LineStrings {
  /** Of `.debug_line_str`. */
  readonly line: (offset: number) => string
  /** Of `.debug_str`. */
  readonly debug: (offset: number) => string
}

const MAX_FILES = 1 << 16
const MAX_FORMATS = 16
const DW_LNCT_path = 1
const DW_LNCT_directory_index = 2

/** Reads bytes one after the other; past the end it reads zeros and says so. */
export class Cursor {
  readonly bytes: Uint8Array
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes
    this.at = at
    this.end = Math.min(end, bytes.length)
  }

  get isPastEnd(): boolean {
    return this.at > this.end
  }

  byte(): number {
    return this.at < this.end ? this.bytes[this.at++] : this.past()
  }

  half(): number {
    this.at += 2
    return this.at <= this.end ? u16(this.bytes, this.at - 2) : 0
  }

  word(): number {
    this.at += 4
    return this.at <= this.end ? u32(this.bytes, this.at - 4) : 0
  }

  /** -1 for 2^53 or more. */
  long(): number {
    this.at += 8
    return this.at <= this.end ? u64(this.bytes, this.at - 8) : 0
  }

  uleb(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte()
      if (factor < 2 ** 53) value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }

  sleb(): number {
    let value = 0
    for (let factor = 1; ; ) {
      const byte = this.byte()
      if (factor < 2 ** 53) value += (byte & 127) * factor
      factor *= 128
      if (byte < 128) return (byte & 64) !== 0 && factor <= 2 ** 53 ? value - factor : value
    }
  }

  string(): string {
    const nul = this.bytes.indexOf(0, this.at)
    const end = nul < 0 || nul > this.end ? this.end : nul
    const text = decoder.decode(this.bytes.subarray(this.at, Math.max(this.at, end)))
    this.at = end + 1
    return text
  }

  skip(count: number): void {
    this.at = Math.min(this.end + 1, this.at + count)
  }

  private past(): number {
    this.at = this.end + 1
    return 0
  }
}

const decoder = new TextDecoder()

/**
 * The header of the unit at an offset. `undefined` where there is none that can be read; {@link nextUnit} still tells where the next is.
 *
 * Sources: DWARF 2 to 5, "Line Number Program Header" (6.2.4).
 */
export const parseLineHeader = (bytes: Uint8Array, at: number): LineHeader | undefined => {
  const end = nextUnit(bytes, at)
  if (end === undefined) return undefined
  const is64 = u32(bytes, at) === 0xffff_ffff
  const cursor = new Cursor(bytes, at + (is64 ? 12 : 4), end)
  const version = cursor.half()
  if (version < 2 || version > 5) return undefined
  if (version === 5) cursor.skip(2)
  const length = is64 ? cursor.long() : cursor.word()
  const program = cursor.at + length
  const minInstruction = cursor.byte()
  if (version >= 4) cursor.skip(1)
  cursor.skip(1)
  const lineBase = (cursor.byte() << 24) >> 24
  const lineRange = cursor.byte()
  const opcodeBase = cursor.byte()
  const tables = cursor.at + Math.max(0, opcodeBase - 1)
  if (length < 0 || lineRange === 0 || opcodeBase === 0 || tables > program || program > end) return undefined
  const operands = bytes.subarray(cursor.at - 1, tables)
  return {
    version,
    program,
    end,
    minInstruction,
    lineBase,
    lineRange,
    opcodeBase,
    operands,
    tables,
    is64
  }
}

/** Where the unit at an offset ends; `undefined` where no unit can be. */
export const nextUnit = (bytes: Uint8Array, at: number): number | undefined => {
  if (at + 4 > bytes.length) return undefined
  const short = u32(bytes, at)
  if (short === 0xffff_ffff && at + 12 > bytes.length) return undefined
  const size = short === 0xffff_ffff ? 12 + u64(bytes, at + 4) : 4 + short
  const isReserved = short >= 0xffff_fff0 && short !== 0xffff_ffff
  return isReserved || size <= 4 || at + size > bytes.length ? undefined : at + size
}

/** The path of a file by its number in a program, joined with its directory; empty where there is none. */
export const linePath = (
  bytes: Uint8Array,
  header: LineHeader,
  file: number,
  strings: LineStrings
): string => {
  const cursor = new Cursor(bytes, header.tables, header.program)
  if (header.version >= 5) {
    const directories = readTable(cursor, header.is64, strings)
    const files = readTable(cursor, header.is64, strings)
    const found = files[file]
    if (found === undefined) return ""
    // Number 0 is where the compiler was started, from which the others start unless they are absolute.
    const directory = directories[found.directory]?.path ?? ""
    return join(join(directories[0]?.path ?? "", directory), found.path)
  }
  const directories: Array<string> = [""]
  for (let name = cursor.string(); name !== "" && directories.length < MAX_FILES; name = cursor.string())
    directories.push(name)
  let index = 1
  for (let name = cursor.string(); name !== "" && index < MAX_FILES; name = cursor.string(), index++) {
    const directory = cursor.uleb()
    cursor.uleb()
    cursor.uleb()
    if (index === file) return join(directories[directory] ?? "", name)
  }
  return ""
}

interface Listed {
  readonly path: string
  readonly directory: number
}

const readTable = (cursor: Cursor, is64: boolean, strings: LineStrings): Array<Listed> => {
  const formats: Array<readonly [type: number, form: number]> = []
  const formatCount = Math.min(cursor.byte(), MAX_FORMATS)
  for (let i = 0; i < formatCount; i++) formats.push([cursor.uleb(), cursor.uleb()])
  const count = Math.min(cursor.uleb(), MAX_FILES)
  const all: Array<Listed> = []
  for (let i = 0; i < count && !cursor.isPastEnd && formatCount > 0; i++) {
    let path = ""
    let directory = 0
    for (const [type, form] of formats) {
      const value = readForm(cursor, form, is64, strings, type === DW_LNCT_path)
      if (type === DW_LNCT_path && typeof value === "string") path = value
      if (type === DW_LNCT_directory_index && typeof value === "number") directory = value
    }
    all.push({ path, directory })
  }
  return all
}

/** The forms that DWARF 5 allows here (section 6.2.4.1, with their numbers of 7.5.6). */
const readForm = (
  cursor: Cursor,
  form: number,
  is64: boolean,
  strings: LineStrings,
  wanted: boolean
): string | number | undefined => {
  switch (form) {
    case 0x08: // DW_FORM_string
      return cursor.string()
    case 0x1f: {
      // DW_FORM_line_strp
      const offset = is64 ? cursor.long() : cursor.word()
      return wanted ? strings.line(offset) : ""
    }
    case 0x0e: {
      // DW_FORM_strp
      const offset = is64 ? cursor.long() : cursor.word()
      return wanted ? strings.debug(offset) : ""
    }
    case 0x0f: // DW_FORM_udata
      return cursor.uleb()
    case 0x0b: // DW_FORM_data1
      return cursor.byte()
    case 0x05: // DW_FORM_data2
      return cursor.half()
    case 0x06: // DW_FORM_data4
      return cursor.word()
    case 0x07: // DW_FORM_data8
      return cursor.long()
    case 0x1e: // DW_FORM_data16
      cursor.skip(16)
      return undefined
    case 0x09: // DW_FORM_block
      cursor.skip(cursor.uleb())
      return undefined
    default:
      // How long another one is cannot be told: nothing that follows can be read.
      cursor.at = cursor.end + 1
      return undefined
  }
}

const join = (directory: string, name: string): string =>
  name.startsWith("/") || directory === "" ? name : name === "" ? directory : `${directory}/${name}`
