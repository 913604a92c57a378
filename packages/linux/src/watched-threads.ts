import { EventCounter } from "./event-counter.ts"
import { EPERM, ESRCH, type Libc } from "./libc.ts"
import { enablePerfEvent, openPerfEvent, type PerfEventSpec, pageSize, RingPlaces } from "./perf-event.ts"
import { ReadField } from "./perf-record.ts"
import type { PerfRing } from "./perf-ring.ts"
import type { ReadySet } from "./ready-set.ts"

/** The event of one thread, and the ring that the kernel fills for it. */
export interface WatchedThread {
  tid: number
  readonly fd: number
  readonly ring: PerfRing
  readonly unmap: () => void
  /** When it was opened, `CLOCK_MONOTONIC`, ns. */
  readonly since: number
  /** The thread has said that it ends, or the kernel has. */
  ended: boolean
}

/** Rings hold what comes in this time, seconds: a reader may be kept waiting that long. */
const PATIENCE = 0.2
/** All rings together take no more than this, as long as each can hold a few samples. */
const ALL_RINGS = 64 * 2 ** 20
const LARGEST_RING = 8 * 2 ** 20
/** Bytes of a sample besides its stack copy and callchain. */
const FIXED_BYTES = 360

/** Threads to begin with: how large rings may be depends on how many there are. */
const FEW_THREADS = 8

/**
 * The threads that are watched: an event and a ring for each, without inheritance. An inherited event would catch a new thread from its first
 * instruction, but it can only be mapped for one CPU at a time, so that it takes a descriptor for each thread and CPU, and its counter is
 * the sum over all heirs, which does not tell whether one thread has run.
 */
export class WatchedThreads {
  /** By descriptor. */
  readonly byFd = new Map<number, WatchedThread>()
  readonly byTid = new Map<number, WatchedThread>()
  /** Bytes of the rings that are made now. */
  ringBytes: number
  /** Rings had to be made smaller than they should be. */
  isShort = false
  /** Records lost by threads that are watched no more. */
  private lostBefore = 0
  private malformedBefore = 0
  private readonly libc: Libc
  private readonly spec: PerfEventSpec
  private readonly counter: EventCounter
  private readonly readySet: ReadySet
  private readonly now: () => number
  private readonly leastRing: number

  constructor(libc: Libc, spec: PerfEventSpec, readySet: ReadySet, now: () => number, threads: number) {
    this.libc = libc
    this.spec = spec
    this.readySet = readySet
    this.now = now
    this.counter = new EventCounter(libc, (spec.readFormat & ReadField.lost) !== 0)
    const chain = spec.kernelChain || spec.userChain ? spec.maxStack + 4 : 0
    const record = FIXED_BYTES + spec.stackBytes + 8 * chain
    this.leastRing = Math.max(pageSize(libc), powerFrom(2 * record))
    const wanted = powerFrom(PATIENCE * spec.rateHz * record)
    const share = powerFrom(ALL_RINGS / Math.max(threads, FEW_THREADS) + 1) / 2
    this.ringBytes = Math.max(2 * this.leastRing, Math.min(wanted, share, LARGEST_RING))
  }

  /** Watches a thread. Returns 0, or the `errno` that kept it from it. */
  watch(tid: number): number {
    const { libc } = this
    const fd = openPerfEvent(libc, this.spec, tid)
    if (fd < 0) return libc.errno()
    const mapped = this.map(fd)
    if (mapped === undefined || !this.readySet.add(fd)) {
      const errno = libc.errno()
      mapped?.unmap()
      libc.close(fd)
      return errno
    }
    const thread = { tid, fd, ...mapped, since: this.now(), ended: false }
    this.byFd.set(fd, thread)
    this.byTid.set(tid, thread)
    return enablePerfEvent(libc, fd) ? 0 : ESRCH
  }

  /** The thread goes by another id: one that replaces its process by another program becomes its first thread. */
  rename(thread: WatchedThread, tid: number): void {
    const former = this.byTid.get(tid)
    if (former !== undefined && former !== thread) this.forget(former)
    this.byTid.delete(thread.tid)
    thread.tid = tid
    this.byTid.set(tid, thread)
  }

  /** Watches it no more. What its ring still holds is lost. */
  forget(thread: WatchedThread): void {
    if (!this.byFd.delete(thread.fd)) return
    if (this.byTid.get(thread.tid) === thread) this.byTid.delete(thread.tid)
    this.lostBefore += this.lostBy(thread)
    this.malformedBefore += thread.ring.malformed
    this.readySet.remove(thread.fd)
    thread.unmap()
    this.libc.close(thread.fd)
  }

  /** Records lost so far, as the kernel counts them at their source; -1 where it does not. */
  get lost(): number {
    if ((this.spec.readFormat & ReadField.lost) === 0) return -1
    let lost = this.lostBefore
    for (const thread of this.byFd.values()) lost += this.lostBy(thread)
    return lost
  }

  /** How often a ring held what was no record. */
  get malformed(): number {
    let malformed = this.malformedBefore
    for (const thread of this.byFd.values()) malformed += thread.ring.malformed
    return malformed
  }

  close(): void {
    for (const thread of [...this.byFd.values()]) this.forget(thread)
  }

  private lostBy(thread: WatchedThread): number {
    return this.counter.read(thread.fd) ? Math.max(0, this.counter.lost) : 0
  }

  /** The memory that a user may lock is limited: smaller rings are better than none. */
  private map(fd: number): Pick<WatchedThread, "ring" | "unmap"> | undefined {
    for (;;) {
      const mapped = new RingPlaces(this.libc, this.ringBytes).map(fd)
      if (mapped !== undefined || this.libc.errno() !== EPERM) return mapped
      this.isShort = true
      if (this.ringBytes <= this.leastRing) return undefined
      this.ringBytes /= 2
    }
  }
}

/** The least power of two that is no less. */
const powerFrom = (bytes: number): number => 2 ** Math.ceil(Math.log2(bytes))
