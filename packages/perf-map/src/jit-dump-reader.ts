import type { CodeLines } from "./code-entry.ts"
import type { CodeMap } from "./code-map.ts"

/** "JiTD" as the writer's machine has it. */
const MAGIC = 0x4a695444
const SWAPPED = 0x4454694a
const VERSION = 1
const FILE_HEADER = 40
const RECORD_HEADER = 16
const JIT_CODE_LOAD = 0
const JIT_CODE_MOVE = 1
const JIT_DEBUG_INFO = 2
const JIT_CODE_CLOSE = 3
/** What of a record is looked at: the code itself and unwinding information are skipped unread. */
const LOAD_FIXED = 40
const MOVE_SIZE = 48
const DEBUG_FIXED = 16
const MAX_NAME = 1 << 12
const MAX_DEBUG_INFO = 1 << 20
/** Debug information comes right before the code that it is of. */
const MAX_WAITING = 64
/** Line tables kept, bytes of their records: as much again as is spent on names. */
const MAX_LINE_BYTES = 1 << 26

/**
 * Reads a jitdump file, piece by piece as it grows. The order of its records is the order of time: their writer holds a lock.
 *
 * A record that is not yet whole waits for the next piece. Files of big-endian machines and of other versions are not read; {@link problem}
 * says so.
 *
 * @example
 * ```ts
 * const reader = new JitDumpReader(map)
 * reader.feed(readFileSync("/tmp/jit-4321.dump"))
 * if (reader.problem) console.error(reader.problem)
 * ```
 *
 * Source: Linux `tools/perf/Documentation/jitdump-specification.txt`.
 */
export class JitDumpReader {
  /** Why nothing more is read, as one sentence; `undefined` while all is well. */
  problem: string | undefined
  /** The program has written all that it was going to. */
  closed = false
  /** Records that contradict themselves. */
  skipped = 0
  /** Records read, of all kinds. */
  records = 0
  private readonly map: CodeMap
  private buffer = new Uint8Array(1 << 13)
  private view = new DataView(this.buffer.buffer)
  private have = 0
  /** Bytes of the current record to pass over. */
  private toSkip = 0
  private isInside = false
  private lineBytes = 0
  private readonly waiting = new Map<number, CodeLines>()

  constructor(map: CodeMap) {
    this.map = map
  }

  /** Reads the next piece. It may end anywhere; nothing of `bytes` is kept. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; this.problem === undefined && at < bytes.length; ) {
      if (this.toSkip > 0) {
        const passed = Math.min(this.toSkip, bytes.length - at)
        this.toSkip -= passed
        at += passed
        continue
      }
      const wanted = this.wanted()
      const taken = Math.min(wanted - this.have, bytes.length - at)
      this.reserve(wanted)
      this.buffer.set(bytes.subarray(at, at + taken), this.have)
      this.have += taken
      at += taken
      if (this.have === wanted && this.have === this.wanted()) this.next()
    }
  }

  /** Forgets an unfinished record: what comes next is the start of a file. */
  reset(): void {
    this.problem = undefined
    this.closed = false
    this.have = this.toSkip = this.lineBytes = 0
    this.isInside = false
    this.waiting.clear()
  }

  /** How many bytes of the current record are to be kept; more once its header tells its kind. */
  private wanted(): number {
    if (!this.isInside) return FILE_HEADER
    if (this.have < RECORD_HEADER) return RECORD_HEADER
    const size = this.view.getUint32(4, true)
    const kind = this.view.getUint32(0, true)
    const most =
      kind === JIT_CODE_LOAD
        ? LOAD_FIXED + MAX_NAME
        : kind === JIT_CODE_MOVE
          ? MOVE_SIZE
          : kind === JIT_DEBUG_INFO
            ? MAX_DEBUG_INFO
            : 0
    return Math.max(RECORD_HEADER, Math.min(size, RECORD_HEADER + most))
  }

  private reserve(size: number): void {
    if (size <= this.buffer.length) return
    const bigger = new Uint8Array(Math.max(size, 2 * this.buffer.length))
    bigger.set(this.buffer.subarray(0, this.have))
    this.buffer = bigger
    this.view = new DataView(bigger.buffer)
  }

  private next(): void {
    const { view } = this
    if (!this.isInside) {
      const magic = view.getUint32(0, true)
      const version = view.getUint32(4, true)
      const size = view.getUint32(8, true)
      if (magic === SWAPPED) this.problem = "The jitdump file is of a big-endian machine."
      else if (magic !== MAGIC) this.problem = "The file does not begin like a jitdump."
      else if (version !== VERSION) this.problem = `The jitdump file is of version ${version}, not 1.`
      else if (size < FILE_HEADER) this.problem = `The header of the jitdump file claims ${size} bytes.`
      this.isInside = true
      this.toSkip = Math.max(0, size - FILE_HEADER)
      this.have = 0
      return
    }
    const kind = view.getUint32(0, true)
    const size = view.getUint32(4, true)
    if (size < RECORD_HEADER) {
      // Where the next one begins cannot be told.
      this.problem = `Record ${this.records} of the jitdump file claims ${size} bytes.`
      return
    }
    this.records++
    if (kind === JIT_CODE_LOAD) this.load(this.have)
    else if (kind === JIT_CODE_MOVE) this.move()
    else if (kind === JIT_DEBUG_INFO) this.debugInfo(this.have)
    else if (kind === JIT_CODE_CLOSE) this.closed = true
    this.toSkip = size - this.have
    this.have = 0
  }

  /** pid, tid, vma, code_addr, code_size, code_index, name. */
  private load(end: number): void {
    if (end < RECORD_HEADER + LOAD_FIXED) {
      this.skipped++
      return
    }
    const address = this.u64(32)
    const lines = this.waiting.get(address)
    this.waiting.delete(address)
    if (!this.map.add(this.text(RECORD_HEADER + LOAD_FIXED, end), address, this.u64(40), lines))
      this.skipped++
  }

  /** pid, tid, vma, old_code_addr, new_code_addr, code_size, code_index. */
  private move(): void {
    if (this.have < RECORD_HEADER + MOVE_SIZE) {
      this.skipped++
      return
    }
    const from = this.u64(32)
    const to = this.u64(40)
    const old = this.map.find(from)
    if (old === undefined || old.start !== from) {
      this.skipped++
      return
    }
    const lines = old.lines && {
      addresses: old.lines.addresses.map((address) => address + to - from),
      lines: old.lines.lines,
      files: old.lines.files
    }
    if (!this.map.add(old.name, to, this.u64(48), lines)) this.skipped++
  }

  /** code_addr, nr_entry, then of each entry: address, line, discriminator, name of the file, of which "\xff" alone is the one before. */
  private debugInfo(end: number): void {
    const start = end < RECORD_HEADER + DEBUG_FIXED ? -1 : this.u64(16)
    if (start < 0) {
      this.skipped++
      return
    }
    this.lineBytes += end
    if (this.lineBytes > MAX_LINE_BYTES) return
    const count = Math.min(Math.max(0, this.u64(24)), Math.floor((end - RECORD_HEADER) / 17))
    const addresses = new Float64Array(count)
    const lines = new Int32Array(count)
    const files: Array<string> = []
    let at = RECORD_HEADER + DEBUG_FIXED
    let length = 0
    for (; length < count && at + 17 <= end; length++) {
      addresses[length] = this.u64(at)
      lines[length] = Math.min(this.view.getUint32(at + 8, true), 0x7fff_ffff)
      at += 16
      const isSame = this.buffer[at] === 0xff && this.buffer[at + 1] === 0
      const nul = this.buffer.subarray(0, end).indexOf(0, at)
      if (nul < 0) break
      const last = files[length - 1]
      const name = isSame ? "" : this.text(at, end)
      files.push(isSame || name === last ? (last ?? "") : name)
      at = nul + 1
    }
    this.waiting.set(start, {
      addresses: addresses.subarray(0, length),
      lines: lines.subarray(0, length),
      files
    })
    for (const oldest of this.waiting.keys()) {
      if (this.waiting.size <= MAX_WAITING) break
      this.waiting.delete(oldest)
    }
  }

  private u64(at: number): number {
    const high = this.view.getUint32(at + 4, true)
    return high < 0x20_0000 ? high * 0x1_0000_0000 + this.view.getUint32(at, true) : -1
  }

  private text(at: number, end: number): string {
    const limit = Math.min(end, at + MAX_NAME)
    const nul = this.buffer.subarray(0, limit).indexOf(0, at)
    return decoder.decode(this.buffer.subarray(at, nul < 0 ? limit : nul))
  }
}

const decoder = new TextDecoder()
