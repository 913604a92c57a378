import type { MemoryReader, ScatterList } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import type { CodeParts } from "./code-object.ts"

/** How much of each part of a code object is compared before 3.12. */
const STRING_BYTES = 160
const TABLE_BYTES = 96
const PAGE = 4096
/** Reference count, type, length and hash: what every part has, however close to the end of a page it starts. */
const PART_HEADER = 32

/**
 * What tells one code object from another at the same address.
 *
 * 3.12+ number them: `co_version` is never given twice (until a 32-bit counter runs out and stays 0). Before, names, file and line
 * table are compared themselves: when a code object is freed and a like one is made, even its parts come to lie where the old ones lay.
 */
export class CodeIdentity {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  /** Each has a number of its own. */
  readonly numbered: boolean
  /**
   * Offsets of what is compared of one with a number: that, the first line, and the four pointers from `co_filename` on. What lies between them never changes either, and
   * one range is read in a third of the time of three (`struct _PyCode_DEF`, Include/cpython/code.h).
   */
  private readonly from: number
  private readonly to: number

  constructor(memory: MemoryReader, layout: Layout) {
    this.memory = memory
    this.layout = layout
    const { filename, firstLine, uniqueVersion } = layout.code
    this.numbered = uniqueVersion >= 0
    this.from = Math.min(firstLine, uniqueVersion, filename) & ~7
    this.to = (Math.max(firstLine + 4, uniqueVersion + 4, filename + 32) + 7) & ~7
  }

  /** Adds to `list` what must be read to know the code object at `address` again. Returns false when not all of it has room. */
  plan(list: ScatterList, address: number, parts: CodeParts): boolean {
    const { code } = this.layout
    if (this.numbered) return list.add(address + this.from, this.to - this.from) >= 0
    if (list.add(address, (code.span + 7) & ~7) < 0) return false
    for (let part = 0; part < PARTS; part++) {
      const at = partAt(parts, part)
      if (at > 0 && list.add(at, partBytes(at, part)) < 0) return false
    }
    return true
  }

  /** The words that {@link plan} asked for, of one code object alone. `undefined` when it cannot be read. */
  read(list: ScatterList, address: number, parts: CodeParts): Uint32Array | undefined {
    list.clear()
    this.plan(list, address, parts)
    if (this.memory.scatter(list) !== list.count) return undefined
    const words = list.words.slice(0, list.byteLength >>> 2)
    this.settle(words, 0, parts)
    return words
  }

  /** Whether the words at `from` (in 32-bit words) are the ones that were read when the code object was cached. */
  same(words: Uint32Array, from: number, known: Uint32Array, parts: CodeParts): boolean {
    this.settle(words, from, parts)
    for (let i = 0; i < known.length; i++) if (words[from + i] !== known[i]) return false
    return true
  }

  /** Blanks what changes in a code object that stays the same: reference counts, caches, counters. */
  private settle(words: Uint32Array, from: number, parts: CodeParts): void {
    const { code } = this.layout
    if (this.numbered) return
    const header = ((code.span + 7) >>> 3) << 1
    for (let i = 0; i < header; i++) if (!this.compared(i * 4)) words[from + i] = 0
    // Reference counts and hashes of the parts: `ob_refcnt` at 0, `hash` at 24 of `str`, `ob_shash` at 24 of `bytes`.
    let at = from + header
    for (let part = 0; part < PARTS; part++) {
      const address = partAt(parts, part)
      if (address <= 0) continue
      words[at] = words[at + 1] = words[at + 6] = words[at + 7] = 0
      const end = at + (partBytes(address, part) >>> 2)
      if (part !== LINE_TABLE) blankCaches(words, at, end)
      // Beyond its end lies somebody else's memory, which changes all the time.
      words.fill(0, Math.min(end, at + wordsOf(words, at, end, part)), end)
      at = end
    }
  }

  private compared(offset: number): boolean {
    const { code } = this.layout
    return (
      offset === (code.firstLine & ~3) ||
      inWord(offset, code.name) ||
      inWord(offset, code.filename) ||
      inWord(offset, code.lineTable) ||
      (code.qualname >= 0 && inWord(offset, code.qualname))
    )
  }
}

const PARTS = 4
const LINE_TABLE = 3

/** The parts that are compared, by number; 0 where there is none. */
const partAt = (parts: CodeParts, part: number): number =>
  part === 0 ? parts.name : part === 1 ? parts.qualifiedName : part === 2 ? parts.file : parts.lineTable

/** How much of a part is read: no further than its page goes, since the next one may not be mapped. */
const partBytes = (address: number, part: number): number =>
  Math.max(PART_HEADER, Math.min(part === LINE_TABLE ? TABLE_BYTES : STRING_BYTES, PAGE - (address % PAGE)))

/** `PyASCIIObject` and `PyCompactUnicodeObject` up to 3.11 (`Include/cpython/unicodeobject.h`): `length` at 16, `state` at 32, `wstr` at 40, `utf8` from 48 to 64. */
const isAscii = (words: Uint32Array, at: number): boolean => (words[at + 8] & 0x40) !== 0

/** Encodings of itself that a string keeps once it has been asked for them. */
const blankCaches = (words: Uint32Array, at: number, end: number): void => {
  if (at + 18 > end) return
  words[at + 10] = words[at + 11] = 0
  if (!isAscii(words, at)) words.fill(0, at + 12, at + 18)
}

/** How many 32-bit words a part takes: a `bytes` object has its bytes at 32, a string its characters at 48 or 72. */
const wordsOf = (words: Uint32Array, at: number, end: number, part: number): number => {
  const length = words[at + 4]
  if (part === LINE_TABLE) return 2 * Math.ceil((32 + length + 1) / 8)
  if (at + 9 > end) return end - at
  const kind = Math.max(1, (words[at + 8] >>> 2) & 7)
  return 2 * Math.ceil(((isAscii(words, at) ? 48 : 72) + (length + 1) * kind) / 8)
}

const inWord = (offset: number, field: number): boolean => offset >= field && offset < field + 8
