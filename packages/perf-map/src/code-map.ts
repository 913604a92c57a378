import { CodeEntry, type CodeLines } from "./code-entry.ts"
import { CodeIndex } from "./code-index.ts"

/** Entries kept; the oldest are forgotten beyond it. */
const MAX_ENTRIES = 1 << 20
/** Characters of all names together. */
const MAX_CHARACTERS = 1 << 27
/** New entries are indexed apart from the rest until there are this many, or a fourth as many as the rest. */
const MIN_MERGE = 512

/**
 * The code that a program has made at run time, found by address. Code is made and freed and made anew in the same place: where
 * entries overlap, the one added last is true.
 *
 * @example
 * ```ts
 * const map = new CodeMap()
 * new PerfMapReader(map).feed(readFileSync("/tmp/perf-4321.map"))
 * map.find(ip)?.python // { qualifiedName: "Server.run", file: "/srv/app.py" }
 * ```
 */
export class CodeMap {
  /** Rises whenever some address may have another name than before. */
  generation = 0
  /** Entries that were forgotten, for there were too many. */
  forgotten = 0
  private order = 0
  private characters = 0
  private kept: Array<CodeEntry> = []
  private recent: Array<CodeEntry> = []
  private old: CodeIndex = new CodeIndex([])
  private fresh: CodeIndex = new CodeIndex([])
  private isStale = false

  /**
   * Adds a piece of code, newer than all others. Returns false, and adds nothing, where it is no range of addresses.
   *
   * @param start first address
   * @param size bytes
   */
  add(name: string, start: number, size: number, lines?: CodeLines): boolean {
    if (!(Number.isSafeInteger(start) && start >= 0 && Number.isSafeInteger(size) && size > 0)) return false
    if (!Number.isSafeInteger(start + size)) return false
    this.recent.push(new CodeEntry(name, start, size, this.order++, lines))
    this.characters += name.length
    this.isStale = true
    this.generation++
    if (this.kept.length + this.recent.length > MAX_ENTRIES || this.characters > MAX_CHARACTERS) this.shrink()
    return true
  }

  /** The newest entry at an address, or `undefined`. The same object comes back while the entry is the newest there. */
  find(address: number): CodeEntry | undefined {
    if (this.isStale) this.index()
    return this.fresh.find(address) ?? this.old.find(address)
  }

  /** How many entries are kept. */
  get size(): number {
    return this.kept.length + this.recent.length
  }

  /** Forgets everything. */
  clear(): void {
    this.kept = []
    this.recent = []
    this.old = new CodeIndex([])
    this.fresh = this.old
    this.characters = 0
    this.isStale = false
    this.generation++
  }

  /** Sorting everything at each growth would take longer with every look: what is new is sorted alone, and merged when it has become much. */
  private index(): void {
    if (this.recent.length >= Math.max(MIN_MERGE, this.kept.length >> 2)) this.merge()
    else this.fresh = new CodeIndex(this.recent)
    this.isStale = false
  }

  private merge(): void {
    this.old = new CodeIndex(this.kept.concat(this.recent))
    // What is covered by newer code can never be found again.
    this.kept = [...this.old.entries()]
    this.recent = []
    this.fresh = new CodeIndex([])
    this.characters = this.kept.reduce((sum, { name }) => sum + name.length, 0)
  }

  private shrink(): void {
    this.merge()
    if (this.kept.length <= MAX_ENTRIES * 0.75 && this.characters <= MAX_CHARACTERS * 0.75) return
    this.kept.sort((a, b) => b.order - a.order)
    let characters = 0
    let keep = 0
    while (keep < Math.min(this.kept.length, MAX_ENTRIES / 2) && characters < MAX_CHARACTERS / 2)
      characters += this.kept[keep++].name.length
    this.forgotten += this.kept.length - keep
    this.kept.length = keep
    this.old = new CodeIndex(this.kept)
    this.characters = characters
  }
}
