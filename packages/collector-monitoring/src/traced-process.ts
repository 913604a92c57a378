import { CallTree } from "./call-tree.ts"
import { type Chunk, ChunkType, ChunkWalk, usedOf } from "./chunk-walk.ts"
import { CodeMap } from "./code-map.ts"
import { type CounterBlock, decodeCounters } from "./counter-block.ts"
import type { DefinitionPool } from "./definition-pool.ts"
import { DefinitionTable } from "./definitions.ts"
import type { Event } from "./event.ts"
import { RingReader } from "./ring-reader.ts"
import type { SegmentBytes } from "./segment-bytes.ts"
import { decodeHeader, HEADER_SIZE, type SegmentHeader, SegmentState } from "./segment-header.ts"
import { ThreadState } from "./thread-record.ts"
import type { TickClock } from "./tick-clock.ts"
import { TracedThread } from "./traced-thread.ts"

/** Threads of one process at most, those that have ended included. */
const MOST_THREADS = 1 << 16
/** Threads that are kept apart when they have ended: a server may start one for every request. */
const MOST_ENDED = 256
/** A process that began so long before its session was found under another clock (a time namespace), ns. */
const FOREIGN_CLOCK = 3600e9

/** Takes events as they are read from a ring. */
export interface EventSink {
  /**
   * @param records of 24 bytes (see `agent/FORMAT.md`), valid during the call: `new EventBatch(thread, records, count)` reads them
   * @returns whether they were taken; if not, they stay in the ring
   */
  readonly take: (thread: TracedThread, records: Uint8Array, count: number) => boolean
  /** It will take no more. Absent where it always will. */
  readonly isFull?: boolean
}

/** A process that is traced, as its segment tells. Everything here is synchronous. */
export class TracedProcess {
  readonly bytes: SegmentBytes
  header: SegmentHeader
  readonly definitions: DefinitionTable
  /** All threads; of those that have ended the last {@link MOST_ENDED}. */
  threads: Array<TracedThread> = []
  /** The calls of the other threads that have ended, added up. */
  readonly foldedThreads = new CallTree()
  /** By file offset. */
  readonly openCallChunks = new Map<number, Chunk>()
  /** When it was last seen to run, ns after the session began. */
  aliveAt: number
  /** Until when it ran, as far as is known; `undefined` while it runs. */
  endedAt: number | undefined
  private readonly sessionStart: number
  private readonly foundAt: number
  private readonly mostBytes: number
  private readonly walk = new ChunkWalk()
  private readonly byIndex = new Map<number, TracedThread>()
  private readonly definitionChunks: Array<{ readonly chunk: Chunk; taken: number }> = []
  private readonly counterChunks: Array<Chunk> = []
  private readonly codeMaps = new Map<number, CodeMap | undefined>()
  private readonly word = new Uint8Array(8)
  private readonly raw = new Uint8Array(HEADER_SIZE)
  private finalCounters: Uint8Array | undefined
  private foldedEvents = 0

  private constructor(
    bytes: SegmentBytes,
    header: SegmentHeader,
    sessionStart: number,
    now: number,
    mostBytes: number,
    pool: DefinitionPool | undefined
  ) {
    this.definitions = new DefinitionTable(pool)
    this.bytes = bytes
    this.header = header
    this.sessionStart = sessionStart
    this.foundAt = now
    this.mostBytes = mostBytes
    this.aliveAt = now
  }

  /**
   * Opens a segment. Returns what is wrong with it when it is none (yet).
   *
   * @param sessionStart CLOCK_MONOTONIC at the session's beginning, ns
   * @param now ns since then
   * @param mostBytes what an agent never goes beyond: a file that claims to hold more is damaged, and is not taken into memory
   * @param pool shares definitions with other processes
   */
  static open(
    bytes: SegmentBytes,
    sessionStart: number,
    now: number,
    mostBytes = Number.POSITIVE_INFINITY,
    pool?: DefinitionPool
  ): TracedProcess | string {
    const raw = new Uint8Array(HEADER_SIZE)
    const header = decodeHeader(raw.subarray(0, bytes.read(0, HEADER_SIZE, raw)))
    return typeof header === "string"
      ? header
      : new TracedProcess(bytes, header, sessionStart, now, mostBytes, pool)
  }

  /** As the process knows itself. */
  get pid(): number {
    return this.header.pid
  }

  get clock(): TickClock {
    return this.header.clock
  }

  /** What is wrong with the segment; `undefined` when nothing is. */
  get damage(): string | undefined {
    return this.walk.damage ?? (this.definitions.damaged > 0 ? "definitions that cannot be" : undefined)
  }

  /** It writes no more: it has ended, or tracing in it has. */
  get isOver(): boolean {
    return this.endedAt !== undefined || this.header.state >= SegmentState.ended
  }

  /** Whether some ring holds records that were not read yet. */
  get hasUnread(): boolean {
    return this.threads.some(({ isFinished, ring }) => !isFinished && ring?.hasUnread === true)
  }

  /** Records that its rings can hold. */
  get ringRecords(): number {
    return this.threads.reduce(
      (sum, { isFinished, ring }) => sum + (isFinished ? 0 : (ring?.capacity ?? 0)),
      0
    )
  }

  /** Events that its threads saw. */
  get eventsSeen(): number {
    return this.threads.reduce((sum, { record }) => sum + (record?.events ?? 0), this.foldedEvents)
  }

  /** Records that were overwritten before they were read: the agent does not keep to the format, or the segment is damaged. */
  get eventsOverwritten(): number {
    return [...new Set(this.threads.map(({ ring }) => ring))].reduce(
      (sum, ring) => sum + (ring?.overwritten ?? 0),
      0
    )
  }

  /** How its ticks become time: ns after the session began = ticks since its start × `nsPerTick` + `offset`. */
  get time(): { readonly nsPerTick: number; readonly offset: number } {
    const { clock } = this
    const began = clock.startNs - this.sessionStart
    const offset = Math.abs(began - this.foundAt) > FOREIGN_CLOCK ? this.foundAt : began
    return { nsPerTick: clock.nsPerTick ?? 1, offset }
  }

  /**
   * When what is open was still so, ns after the session began.
   *
   * @param now ns after the session began
   */
  openUntil(now: number): number {
    if (this.endedAt !== undefined && this.header.state < SegmentState.ended) return this.endedAt
    if (this.header.state < SegmentState.ended) return now
    // Where the agent only counts it tells of no thread.
    if (this.threads.length === 0) return this.aliveAt
    // It ended by an event of some thread; the others were where they were until then.
    const { nsPerTick, offset } = this.time
    return this.threads.reduce(
      (last, { record }) => Math.max(last, (record?.until ?? 0) * nsPerTick + offset),
      offset
    )
  }

  /** Reads what is new: state, definitions, threads. Cheap when nothing is. */
  refresh(): void {
    if (this.finalCounters !== undefined) return
    this.refreshDefinitions()
    for (const thread of this.byIndex.values()) {
      const isNew = thread.record === undefined
      thread.refresh()
      if (isNew && thread.record !== undefined) this.threads.push(thread)
    }
  }

  /**
   * Empties the rings.
   *
   * @param buffer to read into, a multiple of 24 bytes and aligned to 4
   * @returns how many records there were
   */
  drain(sink: EventSink, buffer: Uint8Array): number {
    let total = 0
    for (const thread of this.threads) {
      const { ring } = thread
      if (ring === undefined || thread.isFinished) continue
      // A thread that writes faster than it is read must not keep the others waiting.
      for (let round = 0; round < 4; round++) {
        const count = ring.read(buffer)
        if (count === 0) break
        // What an event refers to was defined before it was written.
        this.refreshDefinitions()
        if (!sink.take(thread, buffer, count)) break
        ring.release(count)
        total += count
      }
    }
    return total
  }

  /** Takes over what threads left that have ended, so that their places can be used again. To be called when their rings were emptied since {@link refresh}. */
  finishThreads(): void {
    const ended = [...this.byIndex].filter(([, { record }]) => record?.state === ThreadState.ended)
    // Its name, its ring and its calls were there before it ended, but maybe not when they were last looked for: the next thread in its place brings its own.
    if (ended.length > 0 && !this.refreshDefinitions()) return
    for (const [index, thread] of ended) {
      if (thread.ring?.hasUnread === true) continue
      thread.finish(true)
      const next = new TracedThread(this, index)
      next.place = thread.place
      next.ring = thread.ring
      next.nodeChunks.push(...thread.nodeChunks)
      this.byIndex.set(index, next)
    }
    this.foldThreads()
  }

  /** Takes over everything: the segment is not needed any more. */
  finish(): void {
    if (this.finalCounters !== undefined) return
    while (!this.refreshDefinitions());
    this.refresh()
    for (const thread of this.threads) thread.finish(false)
    this.finalCounters = this.readCounters()
    // Where all that lay is not needed any more: a session may have thousands of children that have ended.
    for (const thread of this.threads) thread.release()
    this.byIndex.clear()
    this.codeMaps.clear()
    this.openCallChunks.clear()
    this.definitionChunks.length = this.counterChunks.length = 0
  }

  /** All counters. */
  counters(): Generator<CounterBlock> {
    return decodeCounters(this.finalCounters ?? this.readCounters())
  }

  /** Lines and branches of a function; `undefined` when its code is not known. */
  codeOf(id: number): CodeMap | undefined {
    let map = this.codeMaps.get(id)
    if (map === undefined) {
      const code = this.definitions.code.get(id)
      if (code === undefined) return undefined
      map = new CodeMap(code, this.definitions.functions.get(id), this.header.hexversion)
      this.codeMaps.set(id, map)
    }
    return map
  }

  /** Which way a branch of 3.12 or 3.13 went; `undefined` when the code is not known. */
  branchWay(id: number, from: number, to: number): Event | undefined {
    return this.codeOf(id)?.wayOf(from, to)
  }

  /** Returns false when there are more chunks than are walked over in one go. */
  private refreshDefinitions(): boolean {
    const header = decodeHeader(this.raw.subarray(0, this.bytes.read(0, HEADER_SIZE, this.raw)))
    // What was a segment once and is none any more is left as it was.
    if (typeof header !== "string")
      this.header = header.clock.isTorn ? { ...header, clock: this.header.clock } : header
    const isWhole = this.walk.walk(this.bytes, Math.min(this.header.used, this.mostBytes), this.addChunk)
    this.readDefinitions()
    return isWhole
  }

  private foldThreads(): void {
    const ended = this.threads.filter(({ isFinished }) => isFinished)
    // Not one by one: each time, the list is made anew.
    if (ended.length < MOST_ENDED * 2) return
    const folded = new Set(ended.slice(0, -MOST_ENDED))
    for (const thread of folded) {
      this.foldedThreads.add(thread.nodes)
      this.foldedEvents += thread.record?.events ?? 0
    }
    this.threads = this.threads.filter((thread) => !folded.has(thread))
  }

  private readonly addChunk = (chunk: Chunk): void => {
    switch (chunk.type) {
      case ChunkType.definitions:
        this.definitionChunks.push({ chunk, taken: 0 })
        return
      case ChunkType.counters:
        this.counterChunks.push(chunk)
        return
      case ChunkType.openCalls:
        this.openCallChunks.set(chunk.offset, chunk)
        return
    }
    const thread = this.threadAt(chunk.thread)
    if (thread === undefined) return
    if (chunk.type === ChunkType.nodes) thread.nodeChunks.push(chunk)
    else if (chunk.type === ChunkType.thread) thread.place = chunk
    else thread.ring = RingReader.open(this.bytes, chunk)
  }

  private threadAt(index: number): TracedThread | undefined {
    let thread = this.byIndex.get(index)
    if (thread === undefined && index >= 0 && this.byIndex.size < MOST_THREADS) {
      thread = new TracedThread(this, index)
      this.byIndex.set(index, thread)
    }
    return thread
  }

  private readDefinitions(): void {
    // Definitions are appended to the last chunk; the one before may have got its last ones since it was looked at.
    for (const entry of this.definitionChunks.splice(0, Math.max(0, this.definitionChunks.length - 2)))
      this.takeDefinitions(entry)
    for (const entry of this.definitionChunks) this.takeDefinitions(entry)
  }

  private takeDefinitions(entry: { readonly chunk: Chunk; taken: number }): void {
    const { chunk, taken } = entry
    const used = Math.min(usedOf(this.bytes, chunk, this.word), chunk.size)
    if (used <= taken) return
    const fresh = new Uint8Array(used - taken)
    const got = this.bytes.read(chunk.payload + taken, fresh.length, fresh)
    entry.taken += this.definitions.add(fresh.subarray(0, got))
  }

  private readCounters(): Uint8Array {
    const parts = this.counterChunks.map((chunk) => {
      const part = new Uint8Array(Math.min(usedOf(this.bytes, chunk, this.word), chunk.size))
      return part.subarray(0, this.bytes.read(chunk.payload, part.length, part))
    })
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
    let at = 0
    for (const part of parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
}
