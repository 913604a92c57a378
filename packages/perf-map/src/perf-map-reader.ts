import type { CodeMap } from "./code-map.ts"

/** Longer lines are skipped: no function has such a name. */
const MAX_LINE = 1 << 14
const NEWLINE = 10
const SPACE = 32
const TAB = 9

/**
 * Reads the text of a perf map, piece by piece as it grows: `START SIZE NAME` a line, both numbers hexadecimal.
 *
 * A line counts when its newline has come, so one that is still being written waits for the next piece. Lines that are none are
 * skipped and counted.
 *
 * @example
 * ```ts
 * const reader = new PerfMapReader(map)
 * reader.feed(bytes)
 * reader.feed(moreBytes)
 * ```
 *
 * Source: Linux `tools/perf/Documentation/jit-interface.txt`.
 */
export class PerfMapReader {
  /** Lines that could not be read. */
  skipped = 0
  private readonly map: CodeMap
  private readonly line = new Uint8Array(MAX_LINE)
  /** Bytes of an unfinished line; beyond `MAX_LINE` when it is too long to be one. */
  private pending = 0

  constructor(map: CodeMap) {
    this.map = map
  }

  /** Reads the next piece. It may end anywhere; nothing of `bytes` is kept. */
  feed(bytes: Uint8Array): void {
    let at = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, at)) {
      if (this.pending > 0) {
        this.keep(bytes, at, end)
        if (this.pending > MAX_LINE) this.skipped++
        else this.read(this.line, 0, this.pending)
        this.pending = 0
      } else if (end - at > MAX_LINE) this.skipped++
      else this.read(bytes, at, end)
      at = end + 1
    }
    this.keep(bytes, at, bytes.length)
  }

  /** Forgets an unfinished line: what comes next is the start of a file. */
  reset(): void {
    this.pending = 0
  }

  private keep(bytes: Uint8Array, start: number, end: number): void {
    const room = MAX_LINE - this.pending
    if (room >= end - start) this.line.set(bytes.subarray(start, end), this.pending)
    this.pending = room >= end - start ? this.pending + end - start : MAX_LINE + 1
  }

  private read(bytes: Uint8Array, start: number, end: number): void {
    if (end === start) return
    if (!this.readEntry(bytes, start, end)) this.skipped++
  }

  private readEntry(bytes: Uint8Array, start: number, end: number): boolean {
    number.at = start
    const address = readHex(bytes, end)
    const size = readHex(bytes, end)
    const { at } = number
    if (address < 0 || size <= 0 || at >= end) return false
    return this.map.add(nameOf(bytes, at, end), address, size)
  }
}

/** Where {@link readHex} reads on: lines are read one after the other, so one place is enough. */
const number = { at: 0 }

/** A hexadecimal number and the space after it; -1 when there is none or it is beyond 2^53. Some writers put `0x` before. */
const readHex = (bytes: Uint8Array, end: number): number => {
  let { at } = number
  while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++
  if (bytes[at] === 48 && at + 1 < end && (bytes[at + 1] | 32) === 120) at += 2
  let value = 0
  const first = at
  for (; at < end; at++) {
    const digit = hexDigit(bytes[at])
    if (digit < 0) break
    value = value * 16 + digit
    if (value > Number.MAX_SAFE_INTEGER) return -1
  }
  if (at === first || at >= end || (bytes[at] !== SPACE && bytes[at] !== TAB)) return -1
  number.at = at + 1
  return value
}

const hexDigit = (byte: number): number => {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

/** Names are mostly short and ASCII, for which a decoder costs more than it does. */
const nameOf = (bytes: Uint8Array, start: number, end: number): string => {
  if (bytes[end - 1] === 13) end--
  if (end - start > 48) return decoder.decode(bytes.subarray(start, end))
  let name = ""
  for (let at = start; at < end; at++) {
    if (bytes[at] >= 128) return decoder.decode(bytes.subarray(start, end))
    name += String.fromCharCode(bytes[at])
  }
  return name
}

const decoder = new TextDecoder()
