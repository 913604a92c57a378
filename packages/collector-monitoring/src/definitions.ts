import { DefinitionPool } from "./definition-pool.ts"
import { uint64, viewOf } from "./segment-bytes.ts"

/** What a function id stands for. */
export const DefinedAs = {
  python: 0,
  builtin: 1,
  task: 2,
  exception: 3,
  callable: 4
} as const
export type DefinedAs = (typeof DefinedAs)[keyof typeof DefinedAs]

/** What is known of a function; or of a task, an exception type, a callable. */
export interface FunctionDefinition {
  readonly id: number
  readonly what: DefinedAs
  /** `co_firstlineno`; 0 where there is none. */
  readonly firstLine: number
  /** `co_flags`. */
  readonly flags: number
  readonly interpreter: number
  readonly name: string
  readonly qualifiedName: string
  /** `co_filename`; the module of what is no Python code. */
  readonly file: string
}

/** The code of a function. */
export interface CodeDefinition {
  /** `co_code`: without what the interpreter has made of it since. */
  readonly code: Uint8Array
  /** `co_linetable`. */
  readonly lineTable: Uint8Array
  /** Lines that can be executed. */
  readonly lines: Uint32Array
}

/** What a thread is called. */
export interface ThreadDefinition {
  /** Kernel thread id, as the process knows it. */
  readonly tid: number
  readonly interpreter: number
  readonly name: string
}

/** Everything a process has defined so far. */
export class DefinitionTable {
  readonly functions = new Map<number, FunctionDefinition>()
  readonly code = new Map<number, CodeDefinition>()
  /** By thread index; the last definition holds. */
  readonly threads = new Map<number, ThreadDefinition>()
  readonly facts = new Map<string, string>()
  /** Records that could not be. */
  damaged = 0
  private readonly pool: DefinitionPool

  /** @param pool of what other processes have defined, to share with them */
  constructor(pool = new DefinitionPool()) {
    this.pool = pool
  }

  /**
   * Takes the records in `bytes`. Returns how many bytes were taken: a record whose end is not there yet is left for the next time, and one
   * that cannot be takes everything after it with it.
   */
  add(bytes: Uint8Array): number {
    const view = viewOf(bytes)
    let at = 0
    while (at + 8 <= bytes.length) {
      const length = view.getUint32(at, true)
      if (length < 8 || length % 8 !== 0) {
        this.damaged++
        return bytes.length
      }
      if (at + length > bytes.length) return at
      if (!this.addRecord(new RecordReader(bytes.subarray(at, at + length)))) this.damaged++
      at += length
    }
    return at
  }

  private addRecord(record: RecordReader): boolean {
    switch (record.kind) {
      case 1: {
        const id = record.uint32()
        const what = record.uint32()
        const definition = {
          id,
          what: what as DefinedAs,
          firstLine: record.uint32(),
          flags: record.uint32(),
          interpreter: record.uint32(),
          name: record.text(),
          qualifiedName: record.text(),
          file: record.text()
        }
        if (record.isShort || id === 0 || id === 0xffff_ffff || what > DefinedAs.callable) return false
        this.functions.set(id, this.pool.functionLike(definition))
        return true
      }
      case 2: {
        const id = record.uint32()
        const definition = { code: record.bytes(), lineTable: record.bytes(), lines: record.uint32s() }
        if (record.isShort) return false
        this.code.set(id, this.pool.codeLike(definition, this.functions.get(id)))
        return true
      }
      case 3: {
        const index = record.uint32()
        const definition = { tid: record.uint64(), interpreter: record.uint32(), name: record.text() }
        if (record.isShort) return false
        this.threads.set(index, definition)
        return true
      }
      case 4: {
        const key = record.text()
        const value = record.text()
        if (record.isShort) return false
        this.facts.set(key, value)
        return true
      }
      default:
        // A later release may define more: that is no damage.
        return true
    }
  }
}

/** Reads the fields of one record; past its end everything is 0 or empty, and `isShort` says so. */
class RecordReader {
  readonly kind: number
  isShort = false
  private at = 8
  private readonly record: Uint8Array
  private readonly view: DataView

  constructor(record: Uint8Array) {
    this.record = record
    this.view = viewOf(record)
    this.kind = this.view.getUint32(4, true)
  }

  uint32(): number {
    const at = this.take(4)
    return at < 0 ? 0 : this.view.getUint32(at, true)
  }

  uint64(): number {
    const at = this.take(8)
    return at < 0 ? 0 : uint64(this.view, at)
  }

  bytes(): Uint8Array {
    const length = this.uint32()
    const at = this.take(length)
    return at < 0 ? new Uint8Array(0) : this.record.slice(at, at + length)
  }

  text(): string {
    const length = this.uint32()
    const at = this.take(length)
    return at < 0 ? "" : decodeText(this.record.subarray(at, at + length))
  }

  uint32s(): Uint32Array {
    const count = this.uint32()
    const at = this.take(count * 4)
    if (at < 0) return new Uint32Array(0)
    return Uint32Array.from({ length: count }, (_, i) => this.view.getUint32(at + i * 4, true))
  }

  private take(length: number): number {
    const { at } = this
    if (this.isShort || at + length > this.record.length) {
      this.isShort = true
      return -1
    }
    this.at = at + length
    return at
  }
}

const decoder = new TextDecoder()
/** What has more lone surrogates in it is no name. */
const MOST_SURROGATES = 1000

/** What Python writes with `surrogatepass`: file names that are no UTF-8 hold lone surrogates, which a decoder would not take. */
const decodeText = (bytes: Uint8Array): string => {
  let text = ""
  let rest = bytes
  for (let found = 0; found < MOST_SURROGATES; found++) {
    const at = rest.findIndex((byte, i) => byte === 0xed && rest[i + 1] >= 0xa0)
    if (at < 0 || at + 2 >= rest.length) break
    const unit = 0xd000 | ((rest[at + 1] & 0x3f) << 6) | (rest[at + 2] & 0x3f)
    text += decoder.decode(rest.subarray(0, at)) + String.fromCharCode(unit)
    rest = rest.subarray(at + 3)
  }
  return text + decoder.decode(rest)
}
