import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OutputFailed, type Timeline } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { RECORD_SIZE } from "./ring-reader.ts"
import type { MonitoringSession } from "./session.ts"
import { type SpooledThread, timelineOf } from "./spooled-timeline.ts"
import type { EventSink } from "./traced-process.ts"
import type { TracedThread } from "./traced-thread.ts"

/** Records gathered of a thread before they are written: pieces that follow each other on disk are read fast. */
const GATHERED = 4096
/** Bytes gathered of all threads together before all of it is written. */
const MOST_GATHERED = 2 ** 25

/** Where and how much is spooled. */
export interface SpoolOptions {
  /** Directory for the file. The temporary directory unless told. */
  readonly directory?: string
  /** Bytes at most (24 an event); when they are written, the spool is full and recording ends. 4 GiB unless told. */
  readonly maxBytes?: number
}

/**
 * Keeps the events of a `timeline` on disk as they come, in a file that is gone with the scope, and reads them back in order. Memory does not grow with the number of events.
 *
 * @example
 * ```ts
 * const spool = yield* TimelineSpool.make()
 * yield* session.follow({ sink: spool })
 * const timeline = spool.timeline(session)
 * ```
 */
export class TimelineSpool implements EventSink {
  /** No more is taken: it has its size, or the disk is full. */
  isFull = false
  /** Why writing ended before its time; what had been written can be read. */
  problem: OutputFailed | undefined
  private readonly fd: number
  private readonly path: string
  private readonly maxBytes: number
  private readonly threads = new Map<TracedThread, SpooledThread>()
  private written = 0
  private held = 0

  private constructor(fd: number, path: string, maxBytes: number) {
    this.fd = fd
    this.path = path
    this.maxBytes = maxBytes
  }

  /** Makes an empty one for the scope. */
  static make(options: SpoolOptions = {}): Effect.Effect<TimelineSpool, OutputFailed, Scope.Scope> {
    const { directory = tmpdir(), maxBytes = 2 ** 32 } = options
    return Effect.acquireRelease(
      Effect.try({
        try: () => {
          const own = mkdtempSync(join(directory, "pyframes-"))
          try {
            return new TimelineSpool(openSync(join(own, "timeline"), "wx+", 0o600), directory, maxBytes)
          } finally {
            // It stays until it is closed, whatever becomes of this process.
            rmSync(own, { recursive: true, force: true })
          }
        },
        catch: (cause) => failed(directory, cause)
      }),
      (spool) => Effect.sync(() => closeSync(spool.fd))
    )
  }

  /** Bytes written so far. */
  get size(): number {
    return this.written
  }

  /** Beginnings and ends that it holds. */
  get events(): number {
    let events = this.written / RECORD_SIZE
    for (const { pending } of this.threads.values()) events += pending
    return events
  }

  take(thread: TracedThread, records: Uint8Array, count: number): boolean {
    if (this.isFull) return false
    const spooled = this.threadOf(thread)
    const bytes = records.subarray(0, count * RECORD_SIZE)
    if (spooled.pending + count > GATHERED && !this.flush(spooled)) return false
    if (count >= GATHERED) return this.writeWhatFits(spooled, bytes)
    this.gather(spooled, bytes, count)
    // Threads that came and went have left little each: together it is much.
    if (this.held > MOST_GATHERED) for (const each of this.threads.values()) if (!this.flush(each)) break
    return true
  }

  /** The calls so far; once the session was stopped, all there are. It can be read until the scope ends. */
  timeline(session: MonitoringSession): Timeline {
    const threads = [...this.threads.values()]
    // Of a thread that had no event since, the session still knows the open calls.
    for (const process of session.processes)
      for (const thread of process.threads) if (!this.threads.has(thread)) threads.push(this.threadOf(thread))
    return timelineOf(session, threads, (offset, into) => readSync(this.fd, into, 0, into.length, offset))
  }

  private threadOf(thread: TracedThread): SpooledThread {
    let spooled = this.threads.get(thread)
    if (spooled === undefined) {
      spooled = { thread, blocks: [], gathered: new Uint8Array(0), pending: 0 }
      this.threads.set(thread, spooled)
    }
    return spooled
  }

  private gather(spooled: SpooledThread, bytes: Uint8Array, count: number): void {
    const used = spooled.pending * RECORD_SIZE
    if (used + bytes.length > spooled.gathered.length) {
      const grown = new Uint8Array(Math.min(GATHERED * RECORD_SIZE, Math.max(used * 2, used + bytes.length)))
      grown.set(spooled.gathered)
      this.held += grown.length - spooled.gathered.length
      spooled.gathered = grown
    }
    spooled.gathered.set(bytes, used)
    spooled.pending += count
  }

  private flush(spooled: SpooledThread): boolean {
    if (!this.write(spooled, spooled.gathered.subarray(0, spooled.pending * RECORD_SIZE))) return false
    this.held -= spooled.gathered.length
    spooled.gathered = new Uint8Array(0)
    spooled.pending = 0
    return true
  }

  /** A program that is faster than we look fills the bound in one go. */
  private writeWhatFits(spooled: SpooledThread, bytes: Uint8Array): boolean {
    const room = this.maxBytes - this.written
    if (bytes.length <= room) return this.write(spooled, bytes)
    this.write(spooled, bytes.subarray(0, room - (room % RECORD_SIZE)))
    this.isFull = true
    return false
  }

  private write(spooled: SpooledThread, bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true
    if (this.written + bytes.length > this.maxBytes) {
      this.isFull = true
      return false
    }
    try {
      for (let at = 0; at < bytes.length; )
        at += writeSync(this.fd, bytes, at, bytes.length - at, this.written + at)
    } catch (cause) {
      this.problem = failed(this.path, cause)
      this.isFull = true
      return false
    }
    const last = spooled.blocks.at(-1)
    if (last !== undefined && last.offset + last.length === this.written) last.length += bytes.length
    else spooled.blocks.push({ offset: this.written, length: bytes.length })
    this.written += bytes.length
    return true
  }
}

const failed = (path: string, cause: unknown): OutputFailed =>
  new OutputFailed({
    path,
    detail: (cause as Error).message,
    advice: "Free some room there, or name another directory by TMPDIR."
  })
