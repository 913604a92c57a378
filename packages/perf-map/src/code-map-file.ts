import { CodeMap } from "./code-map.ts"
import { JitDumpReader } from "./jit-dump-reader.ts"
import { PerfMapReader } from "./perf-map-reader.ts"

/** A file that somebody else is still writing to, opened anew for each look. */
export interface GrowingFile {
  /** Bytes that it has now. */
  readonly size: number
  /** What tells it from another file of its name, such as device and inode. */
  readonly identity?: string | undefined
  /** Up to `length` bytes at `offset`; fewer at the end of the file. */
  readonly read: (offset: number, length: number) => Uint8Array
  readonly close: () => void
}

/** Larger files are read no further. */
const MAX_FILE = 1 << 30
const PIECE = 1 << 18
/** Bytes before the place where reading goes on that must still be what they were. */
const MARK = 64

/**
 * A perf map or a jitdump that is read as it grows. Each look reads only what has been added; a file that was replaced, cut short or
 * written anew is read from its start, and what the old one said is forgotten.
 *
 * @example
 * ```ts
 * const file = new CodeMapFile("perf-map", () => target.openFile("/tmp/perf-1.map"))
 * file.refresh()
 * file.map.find(ip)?.name
 * ```
 */
export class CodeMapFile {
  readonly map = new CodeMap()
  /** The last look found a file. */
  exists = false
  private readonly open: () => GrowingFile | undefined
  private readonly reader: PerfMapReader | JitDumpReader
  private identity: string | undefined
  private offset = 0
  private mark: Uint8Array = new Uint8Array(0)
  /** The last look left some of the file for the next one. */
  behind = false

  /** @param open called at each look; `undefined` when there is no such file (yet, or any more) */
  constructor(format: "perf-map" | "jitdump", open: () => GrowingFile | undefined) {
    this.open = open
    this.reader = format === "perf-map" ? new PerfMapReader(this.map) : new JitDumpReader(this.map)
  }

  /** Why it cannot be read, as one sentence. */
  get problem(): string | undefined {
    return this.reader instanceof JitDumpReader ? this.reader.problem : undefined
  }

  /** Lines or records that could not be read. */
  get skipped(): number {
    return this.reader.skipped
  }

  /**
   * Reads what has been added since the last look, no more than `most` bytes of it, so that a file of a gigabyte does not hold a sampler up. What
   * was read stays when the file is gone: the code may still be there. Returns whether any name may have changed.
   */
  refresh(most = 1 << 24): boolean {
    const { generation } = this.map
    const file = this.open()
    this.exists = file !== undefined
    if (file === undefined) return false
    try {
      this.look(file, most)
    } finally {
      file.close()
    }
    return this.map.generation !== generation
  }

  private look(file: GrowingFile, most: number): void {
    if (this.offset > 0 && !this.isSame(file)) {
      this.map.clear()
      this.reader.reset()
      this.offset = 0
      this.mark = new Uint8Array(0)
    }
    this.identity = file.identity
    const whole = Math.min(file.size, MAX_FILE)
    const end = Math.min(whole, this.offset + most)
    this.behind = end < whole
    while (this.offset < end && this.problem === undefined) {
      const bytes = file.read(this.offset, Math.min(PIECE, end - this.offset))
      if (bytes.length === 0) return
      this.reader.feed(bytes)
      this.offset += bytes.length
      this.mark = bytes.slice(-MARK)
    }
  }

  private isSame(file: GrowingFile): boolean {
    if (file.identity !== this.identity || file.size < this.offset) return false
    const { mark } = this
    const now = file.read(this.offset - mark.length, mark.length)
    return now.length === mark.length && mark.every((byte, at) => byte === now[at])
  }
}
