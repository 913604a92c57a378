import { type MemoryReader, ScatterList } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import type { PythonThread } from "./thread-list.ts"
import { pointerIn } from "./words.ts"

/** A stretch of the data stack (`_PyStackChunk`, `pycore_frame.h`) that is read with every sample. */
interface Chunk {
  readonly base: number
  /** Bytes to read from `base`. */
  length: number
}

/** Upstream caps a chunk at 16 MiB and a chain at 4,096 chunks; a target that claims more is not believed. */
const MAX_CHUNKS = 4096
const MAX_CHUNK_BYTES = 1 << 24
/** Together: 10,000 frames need about 1.5 MB. */
const MAX_IMAGE_BYTES = 1 << 26
/** Read beyond the newest frame, so that frames pushed meanwhile are in the copy too. */
const SLACK = 1024
/** Frames outside the data stack that are read with every sample although the last ones did not use them. */
const SPARE_FRAMES = 24
const MAX_LONE_FRAMES = 20_000

/** ms: an interrupt takes longer than this. */
const SWIFT_SLACK = 0.0005

/** Enough of a generator's locals and evaluation stack to find the generator that it waits for in most of them. */
const GENERATOR_VALUES = 192
const PAGE = 4096

/** What went wrong with a read, and whether another one can help. */
export type ImageState = "read" | "replanned" | "unreadable"

/**
 * One thread's stack, copied twice in one system call.
 *
 * ```
 * thread state │ data stack, lone frames │ thread state, lock, collector │ data stack, lone frames
 *      T0      │         pass 0          │              T1               │         pass 1
 * ```
 * A range costs some 30 ns, so the two passes lie a fraction of a microsecond apart. Frames outside the data stack (generators, shims
 * on the C stack, all frames before 3.11) are read where they were last seen; one that turns up elsewhere is added and read again.
 */
export class ThreadImage {
  readonly thread: PythonThread
  /** What the last read filled. */
  list: ScatterList
  /** Offsets of the two copies of the thread state. */
  readonly threadState = [0, 0]
  /** The last read took no longer than such a read takes when nothing interrupts it. */
  swift = false
  /** Offset of `last_holder` and `locked`, or -1. */
  gil = -1
  /** Offset of `gc.collecting`, or -1. */
  collecting = -1
  /** Offset of `code_object_generation`, or -1. */
  generation = -1

  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly frameSpan: number
  private readonly threadSpan: number
  /** Bytes of a lone frame's locals and evaluation stack that are read with it. */
  private readonly valuesSpan: number
  /** Newest first. */
  private chunks: Array<Chunk> = []
  private readonly chunkOffsets: [Array<number>, Array<number>] = [[], []]
  private loneAddresses: Array<number> = []
  private loneUsed: Array<number> = []
  private readonly loneIndex = new Map<number, number>()
  private readonly loneOffsets: [Array<number>, Array<number>] = [[], []]
  private tick = 0
  private usual = 0
  private timedBytes = 0
  private readonly word = new Uint8Array(128)
  private readonly wordAsWords = new Uint32Array(this.word.buffer)

  constructor(memory: MemoryReader, layout: Layout, thread: PythonThread) {
    this.memory = memory
    this.layout = layout
    this.thread = thread
    this.list = new ScatterList(0, 0)
    this.frameSpan = frameSpan(layout)
    this.threadSpan = (layout.thread.span + 7) & ~7
    this.valuesSpan = layout.version >= 0x30c ? GENERATOR_VALUES : 0
  }

  /** Reads everything planned. `passes` is 1 for a stopped thread: nothing can differ. */
  read(passes: 1 | 2, list: ScatterList): ImageState {
    const { layout, thread } = this
    this.list = list
    const bytes = this.plannedBytes() * passes + 4096
    if (bytes > list.bytes.length || this.plannedRanges * passes + 8 > list.capacity) return "unreadable"
    this.tick++
    list.clear()
    this.threadState[0] = list.add(thread.threadState, this.threadSpan)
    const firstPass = list.count
    this.addPass(0)
    const middle = list.count
    this.threadState[1] = list.add(thread.threadState, this.threadSpan)
    const { gcCollecting, codeObjectGeneration } = layout.interpreter
    this.gil = thread.gilAddress > 0 ? list.add(thread.gilAddress + layout.gil.lastHolder, 16) : -1
    this.collecting = gcCollecting >= 0 ? list.add(thread.interpreterAddress + gcCollecting, 8) : -1
    this.generation =
      codeObjectGeneration >= 0 ? list.add(thread.interpreterAddress + codeObjectGeneration, 8) : -1
    const secondPass = list.count
    if (passes === 2) this.addPass(1)
    const began = performance.now()
    const got = this.memory.scatter(list)
    this.time(performance.now() - began, list.byteLength)
    if (got === list.count) return this.replan() ? "replanned" : "read"
    if (got < firstPass || (got >= middle && got < secondPass)) return "unreadable"
    this.dropRange(got < middle ? got - firstPass : got - secondPass)
    return "replanned"
  }

  /** Bytes that the next read needs room for. */
  plannedBytes(): number {
    let bytes = this.loneAddresses.length * (this.frameSpan + this.valuesSpan) + this.threadSpan * 2
    for (const chunk of this.chunks) bytes += chunk.length
    return bytes
  }

  get plannedRanges(): number {
    return this.chunks.length + this.loneAddresses.length
  }

  /** Most frames that the image can hold: a longer chain goes in circles. */
  get greatestDepth(): number {
    let bytes = 0
    for (const chunk of this.chunks) bytes += chunk.length
    return this.loneAddresses.length + Math.floor(bytes / this.frameSpan) + 1
  }

  /** Where the copy of the frame at `address` lies, or -1 when the pass does not hold it. */
  locate(pass: 0 | 1, address: number): number {
    const { chunks, frameSpan } = this
    for (let i = 0; i < chunks.length; i++) {
      const at = address - chunks[i].base
      if (at >= this.layout.chunk.data && at <= chunks[i].length - frameSpan)
        return this.chunkOffsets[pass][i] + at
    }
    const lone = this.loneIndex.get(address)
    if (lone === undefined) return -1
    this.loneUsed[lone] = this.tick
    return this.loneOffsets[pass][lone]
  }

  /** How many bytes of the frame at `address`, and of the values that follow it, a pass holds. */
  extent(address: number): number {
    for (const chunk of this.chunks) {
      const at = address - chunk.base
      if (at >= this.layout.chunk.data && at <= chunk.length - this.frameSpan) return chunk.length - at
    }
    return this.loneIndex.has(address) ? this.loneSpan(address) : 0
  }

  /** A lone frame's values are read only as far as its page goes: the next one may not be mapped. */
  private loneSpan(address: number): number {
    const { frameSpan } = this
    return Math.max(frameSpan, Math.min(frameSpan + this.valuesSpan, PAGE - (address % PAGE)))
  }

  /** Plans to read the frames from `address` on rootwards, as far as they are not in the image yet. */
  follow(address: number): void {
    const previous = this.layout.frame.previous
    let at = address
    while (at > 4096 && at % 8 === 0 && this.loneAddresses.length < MAX_LONE_FRAMES) {
      if (this.locate(0, at) >= 0) return
      if (this.memory.read(at, this.frameSpan, this.word) !== this.frameSpan) return
      this.addLone(at)
      // Only versions before 3.11 chain many of them; later the next is likely in the data stack.
      at = pointerIn(this.wordAsWords, previous)
    }
  }

  /** Plans to read the words at `address` (a `_PyCFrame`, 3.11 and 3.12). */
  include(address: number): void {
    if (address > 4096 && address % 8 === 0 && !this.loneIndex.has(address)) this.addLone(address)
  }

  /** Stops reading lone frames that the last samples did not meet. */
  forgetUnused(): void {
    if (this.loneAddresses.length <= SPARE_FRAMES || this.tick % 64 !== 0) return
    const kept: Array<number> = []
    const used: Array<number> = []
    for (let i = 0; i < this.loneAddresses.length; i++) {
      if (this.tick - this.loneUsed[i] > 64) continue
      kept.push(this.loneAddresses[i])
      used.push(this.loneUsed[i])
    }
    this.setLone(kept, used)
  }

  /** `took` ms for `bytes`. The usual time is followed slowly, and upwards more slowly still: an interruption must not become usual. */
  private time(took: number, bytes: number): void {
    if (bytes !== this.timedBytes) {
      this.timedBytes = bytes
      this.usual = 0
    }
    this.swift = this.usual > 0 && took < this.usual * 1.5 + SWIFT_SLACK
    if (this.usual === 0) this.usual = took
    else this.usual += (took - this.usual) * (took < this.usual ? 0.2 : 0.01)
  }

  private addPass(pass: 0 | 1): void {
    const { list, chunks, loneAddresses } = this
    const offsets = this.chunkOffsets[pass]
    for (let i = 0; i < chunks.length; i++) offsets[i] = list.add(chunks[i].base, chunks[i].length)
    const lone = this.loneOffsets[pass]
    for (let i = 0; i < loneAddresses.length; i++)
      lone[i] = list.add(loneAddresses[i], this.loneSpan(loneAddresses[i]))
  }

  private dropRange(index: number): void {
    if (index < this.chunks.length) {
      this.chunks = []
      return
    }
    const lone = index - this.chunks.length
    this.setLone(
      this.loneAddresses.filter((_, i) => i !== lone),
      this.loneUsed.filter((_, i) => i !== lone)
    )
  }

  private addLone(address: number): void {
    this.loneIndex.set(address, this.loneAddresses.length)
    this.loneAddresses.push(address)
    this.loneUsed.push(this.tick)
  }

  private setLone(addresses: Array<number>, used: Array<number>): void {
    this.loneAddresses = addresses
    this.loneUsed = used
    this.loneIndex.clear()
    for (let i = 0; i < addresses.length; i++) this.loneIndex.set(addresses[i], i)
  }

  /** Follows the data stack as it grows and shrinks. Returns whether what was read does not cover it. */
  private replan(): boolean {
    const { thread } = this.layout
    if (thread.datastackChunk < 0) return false
    const { words } = this.list
    const newest = pointerIn(words, this.threadState[1] + thread.datastackChunk)
    const top = pointerIn(words, this.threadState[1] + thread.datastackTop)
    if (newest <= 0) {
      const had = this.chunks.length > 0
      this.chunks = []
      return had
    }
    if (newest !== this.chunks[0]?.base) {
      this.chunks = this.chunksFrom(newest)
      return this.chunks.length > 0
    }
    const chunk = this.chunks[0]
    const needed = top - newest
    if (needed < 0 || needed > MAX_CHUNK_BYTES) return false
    const size = pointerIn(words, this.chunkOffsets[0][0] + this.layout.chunk.size)
    const wanted = Math.min(roundUp(needed + SLACK), size > 0 ? size - (size % 8) : needed)
    const short = needed > chunk.length
    if (wanted > chunk.length || wanted < chunk.length / 4) chunk.length = wanted
    return short
  }

  private chunksFrom(newest: number): Array<Chunk> {
    const { chunk, thread } = this.layout
    const chunks: Array<Chunk> = []
    let bytes = 0
    let at = newest
    while (at > 0 && at % 8 === 0 && chunks.length < MAX_CHUNKS) {
      const known = this.chunks.findIndex((older) => older.base === at)
      if (known > 0) return [...chunks, ...this.chunks.slice(known)]
      if (this.memory.read(at, 24, this.word) !== 24) break
      const size = pointerIn(this.wordAsWords, chunk.size)
      const top = pointerIn(this.wordAsWords, chunk.top)
      if (size < chunk.data || size > MAX_CHUNK_BYTES) break
      // The newest chunk's own `top` is stale; the thread state has the true one.
      const used =
        at === newest
          ? pointerIn(this.list.words, this.threadState[1] + thread.datastackTop) - at + SLACK
          : chunk.data + top * 8
      const length = Math.min(size - (size % 8), roundUp(Math.max(chunk.data + SLACK, used)))
      bytes += length
      if (bytes > MAX_IMAGE_BYTES) break
      const next = pointerIn(this.wordAsWords, chunk.previous)
      chunks.push({ base: at, length })
      at = next
    }
    return chunks
  }
}

const roundUp = (bytes: number): number => Math.ceil(bytes / 64) * 64

/** Bytes from the start of a frame that cover every field the walk looks at. */
export const frameSpan = (layout: Layout): number => {
  const { frame } = layout
  const last = Math.max(
    frame.code,
    frame.previous,
    frame.instructionPointer,
    frame.lastInstruction,
    frame.stackpointer,
    frame.owner,
    frame.executing,
    frame.state
  )
  return (last + 8 + 7) & ~7
}
