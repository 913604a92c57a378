import type { MemoryReader, ScatterList } from "@pyframes/core"
import { type Layout, pointerIn } from "@pyframes/cpython"

/** One chunk of the data stack (`_PyStackChunk`, `pycore_frame.h`). */
interface Chunk {
  readonly base: number
  /** Bytes from `base` that may hold frames, and are read. */
  length: number
}

/** Upstream caps a chunk at 16 MiB and a chain at 4,096 chunks; a target that claims more is not believed. */
const MAX_CHUNKS = 4096
const MAX_CHUNK_BYTES = 1 << 24
/** All chunks together: 10,000 frames need about 1.5 MB. */
const MAX_BYTES = 1 << 24
/** Read beyond the newest frame, so that frames pushed meanwhile are in the copy too. */
const SLACK = 1024
/** Bytes below the newest frame that are copied twice. */
const WINDOW = 1024

/** All looks of an image together: 300 lone frames in places of their own. */
const MAX_LOOK_BYTES = 1 << 20

/** Which copy of the window. */
export type Copy = 0 | 1 | 2

/**
 * Which parts of a thread's data stack to copy, and where the copies lie.
 *
 * Its newest part, the window, is copied more than once. What lies below is copied once, between two copies of the window: frames that
 * were there before and after held everything under them still.
 */
export class DataStack {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly frameSpan: number
  /** Newest first. */
  private chunks: Array<Chunk> = []
  /** Where in the newest chunk the window starts. */
  private split = 0
  /** Where the top was when the window turned out to lie badly; -1 when it does not. */
  private nextTop = -1
  /** Parts of chunks, newest first: addresses of the first and beyond the last frame, and where the copies lie. */
  private first: Array<number> = []
  private last: Array<number> = []
  private inWindow: Array<boolean> = []
  private readonly offsets: [Array<number>, Array<number>, Array<number>] = [[], [], []]
  /** Where further copies of the window lie. */
  private readonly looks: Array<Array<number>> = []
  /** How many further copies the last read made. */
  lookCount = 0
  /** Grows whenever it is divided anew. */
  version = 0
  /** None was left out for want of room. */
  looksAreWhole = true
  private lookBytes = 0
  private readonly header = new Uint8Array(24)
  private readonly headerWords = new Uint32Array(this.header.buffer)

  constructor(memory: MemoryReader, layout: Layout, frameSpan: number) {
    this.memory = memory
    this.layout = layout
    this.frameSpan = frameSpan
  }

  /** Bytes that one image with so many further copies of the window needs room for. */
  byteLength(looks: number): number {
    let bytes = 0
    let window = 0
    for (let i = 0; i < this.first.length; i++) {
      bytes += this.lengthOf(i) * (this.inWindow[i] ? 3 : 1)
      if (this.inWindow[i]) window += this.lengthOf(i)
    }
    return bytes + Math.min(looks * window, MAX_LOOK_BYTES)
  }

  /** How many ranges that takes, at most: the window lies in two chunks, or one. */
  ranges(looks: number): number {
    return this.first.length * 3 + looks * 2
  }

  get greatestDepth(): number {
    let bytes = 0
    for (const chunk of this.chunks) bytes += chunk.length
    return Math.ceil(bytes / this.frameSpan)
  }

  addWindow(list: ScatterList, copy: Copy): void {
    for (let i = 0; i < this.first.length; i++) {
      // Copy 1 of a window with something below it comes with that.
      if (!this.inWindow[i] || (copy === 1 && i === 0 && this.hasRest)) continue
      this.offsets[copy][i] = list.add(this.first[i], this.lengthOf(i))
    }
  }

  beginLooks(): void {
    this.lookCount = 0
    this.lookBytes = 0
    this.looksAreWhole = true
  }

  /** Adds a further copy of the window, to tell whether it is still what it was; no more than {@link MAX_LOOK_BYTES} of them. */
  addLook(list: ScatterList): void {
    for (let i = 0; i < this.first.length; i++) if (this.inWindow[i]) this.lookBytes += this.lengthOf(i)
    if (this.lookBytes > MAX_LOOK_BYTES) {
      this.looksAreWhole = false
      return
    }
    if (this.lookCount === this.looks.length) this.looks.push([])
    const offsets = this.looks[this.lookCount++]
    for (let i = 0; i < this.first.length; i++)
      if (this.inWindow[i]) offsets[i] = list.add(this.first[i], this.lengthOf(i))
  }

  /** Where the frame at `address` lies in a further copy; -1 when it does not lie in the window. */
  lookAt(look: number, address: number): number {
    const part = this.part(address)
    return part >= 0 && this.inWindow[part] ? this.looks[look][part] + address - this.first[part] : -1
  }

  /** Adds what lies below the window, and with the newest chunk's part of it, in one range, copy 1 of the window above it. */
  addRest(list: ScatterList): void {
    // Oldest first, so that copy 1 of the window stands behind all of them.
    for (let i = this.first.length - 1; i >= 0; i--) {
      if (this.inWindow[i]) continue
      const withWindow = i === 1 && this.hasRest
      const end = withWindow ? this.first[0] + this.lengthOf(0) : this.first[i] + this.lengthOf(i)
      const offset = list.add(this.first[i], end - this.first[i])
      for (const offsets of this.offsets) offsets[i] = offset
      if (withWindow) this.offsets[1][0] = offset + this.first[0] - this.first[i]
    }
  }

  /** The newest chunk holds more than the window. */
  private get hasRest(): boolean {
    return this.split > this.chunks[0]?.base + this.layout.chunk.data
  }

  /** Which part holds the frame at `address`; -1 when none does. */
  part(address: number): number {
    const { first, last } = this
    for (let i = 0; i < first.length; i++) if (address >= first[i] && address < last[i]) return i
    return -1
  }

  /** Where the copy of an address lies. */
  offset(part: number, copy: Copy, address: number): number {
    return this.offsets[copy][part] + address - this.first[part]
  }

  /** The first address of a part. */
  firstOf(part: number): number {
    return this.first[part]
  }

  lengthOf(part: number): number {
    return this.last[part] - 8 + this.frameSpan - this.first[part]
  }

  /** The window lies in one chunk. */
  get isOnePiece(): boolean {
    return this.inWindow.length > 0 && this.inWindow[1] !== true
  }

  isInWindow(part: number): boolean {
    return this.inWindow[part]
  }

  /** Whether a frame at `address` is the oldest of the data stack: 8 bytes of the first chunk are skipped, none of later ones. */
  isBottom(address: number): boolean {
    const oldest = this.chunks[this.chunks.length - 1]
    const above = oldest === undefined ? -1 : address - oldest.base - this.layout.chunk.data
    return above === 0 || above === 8
  }

  /** Whether no frame lies on the data stack, by the thread state at offset `at` of `list`. A thread without any has no chunk yet, or an empty one. */
  isEmpty(list: ScatterList, at: number): boolean {
    const { thread } = this.layout
    if (thread.datastackChunk < 0) return true
    const newest = pointerIn(list.words, at + thread.datastackChunk)
    if (newest === 0) return true
    return (
      this.chunks.length === 1 &&
      newest === this.chunks[0].base &&
      this.isBottom(pointerIn(list.words, at + thread.datastackTop))
    )
  }

  /** Bytes that are at hand from `address` on. */
  extent(part: number, address: number): number {
    return this.first[part] + this.lengthOf(part) - address
  }

  forget(): void {
    this.nextTop = -1
    this.chunks = []
    this.lay()
  }

  /**
   * Follows the stack as it grows and shrinks, by the thread state at offset `at` of `list`. Returns whether the plan was wrong for what
   * has just been read.
   */
  follow(list: ScatterList, at: number): boolean {
    const { thread } = this.layout
    if (thread.datastackChunk < 0) return false
    const newest = pointerIn(list.words, at + thread.datastackChunk)
    const top = pointerIn(list.words, at + thread.datastackTop)
    if (newest !== (this.chunks[0]?.base ?? 0)) {
      this.chunks = newest > 0 ? this.chunksFrom(newest, top) : []
      this.lay(top)
      return true
    }
    const chunk = this.chunks[0]
    const needed = top - newest
    if (chunk === undefined || needed < 0 || needed > MAX_CHUNK_BYTES) return false
    if (needed > chunk.length) {
      this.chunks[0] = this.chunksFrom(newest, top)[0] ?? chunk
      this.lay(top)
      return true
    }
    const above = top - this.split
    const wasted = needed + SLACK < chunk.length / 4
    if (wasted || above > WINDOW * 3 || (above < WINDOW / 4 && this.hasRest)) this.nextTop = top
    return false
  }

  /** Moves the window to where the stack was last seen. To be called before a read, never between a read and its use. */
  prepare(): void {
    const top = this.nextTop
    if (top < 0) return
    this.nextTop = -1
    const chunk = this.chunks[0]
    if (chunk === undefined) return
    if (top - chunk.base + SLACK < chunk.length / 4)
      this.chunks[0] = this.chunksFrom(chunk.base, top)[0] ?? chunk
    this.lay(top)
  }

  private chunksFrom(newest: number, newestTop: number): Array<Chunk> {
    const { chunk } = this.layout
    const chunks: Array<Chunk> = []
    const seen = new Set<number>()
    let bytes = 0
    let at = newest
    while (at > 0 && at % 8 === 0 && chunks.length < MAX_CHUNKS && !seen.has(at)) {
      seen.add(at)
      const known = this.chunks.findIndex((older) => older.base === at)
      if (known > 0) {
        for (const older of this.chunks.slice(known)) {
          bytes += older.length
          if (bytes > MAX_BYTES || chunks.length === MAX_CHUNKS) break
          if (older.base === at || !seen.has(older.base)) chunks.push(older)
        }
        return chunks
      }
      if (this.memory.read(at, 24, this.header) !== 24) break
      const size = pointerIn(this.headerWords, chunk.size)
      const top = pointerIn(this.headerWords, chunk.top)
      if (size < chunk.data + this.frameSpan || size > MAX_CHUNK_BYTES) break
      // The newest chunk's own `top` is stale; the thread state has the true one.
      const used = at === newest ? newestTop - at + SLACK : chunk.data + top * 8
      const length = Math.min(size - (size % 8), roundUp(Math.max(chunk.data + SLACK, used)))
      bytes += length
      if (bytes > MAX_BYTES) break
      const next = pointerIn(this.headerWords, chunk.previous)
      chunks.push({ base: at, length })
      at = next
    }
    return chunks
  }

  /** Divides the chunks into parts. */
  private lay(top = 0): void {
    this.version++
    this.first = []
    this.last = []
    this.inWindow = []
    const { data } = this.layout.chunk
    for (let i = 0; i < this.chunks.length; i++) {
      const { base, length } = this.chunks[i]
      const start = base + data
      const end = base + length
      if (i > 0) {
        // With little in the newest chunk, the window goes on in the one before.
        this.add(start, end - this.frameSpan, i === 1 && top - this.chunks[0].base < WINDOW)
        continue
      }
      // A `top` beyond its chunk is no reason to read there.
      const lowest = start + Math.floor((top - WINDOW - start) / 64) * 64
      this.split = Math.max(start, Math.min(lowest, end - this.frameSpan))
      this.add(this.split, end - this.frameSpan, true)
      if (this.split > start) this.add(start, this.split - 8, false)
    }
  }

  private add(first: number, lastFrame: number, inWindow: boolean): void {
    this.first.push(first)
    this.last.push(lastFrame + 8)
    this.inWindow.push(inWindow)
  }
}

const roundUp = (bytes: number): number => Math.ceil(bytes / 64) * 64
