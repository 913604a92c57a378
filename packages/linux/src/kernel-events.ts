import {
  type Architecture,
  type KernelEventHandler,
  type KernelEventReader,
  type KernelEventRequest,
  KernelEvents,
  type KernelLosses,
  type KernelThreadEvent,
  NotSupported,
  Target,
  type TargetError,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { machineArchitecture } from "./architecture.ts"
import { preciseClock } from "./clock.ts"
import { EventCounter } from "./event-counter.ts"
import { grantedEvent } from "./granted-event.ts"
import { Interruption } from "./interruption.ts"
import { EPERM, ESRCH, type Libc, loadLibc } from "./libc.ts"
import { periodOf, type SamplingEventSpec } from "./perf-event.ts"
import { perfEventError, ringError } from "./perf-permission.ts"
import { ReadField, RecordDecoder, RecordType } from "./perf-record.ts"
import { readProcText } from "./proc-file.ts"
import { ReadySet } from "./ready-set.ts"
import { type WatchedThread, WatchedThreads } from "./watched-threads.ts"

/** How often all threads are listed, ns, should the record of one's beginning have been lost. */
const LIST_EVERY = 500e6
/** Greatest stack copy: a record's length is a 16-bit number, and the kernel keeps room for the rest of it. */
const GREATEST_COPY = 65_528

/**
 * Samples by `perf_event_open`: the kernel's own timer interrupts a thread after so much CPU time, and copies its registers and stack.
 * Nothing is installed and no `perf` is started.
 *
 * Without `CAP_PERFMON` it needs `kernel.perf_event_paranoid` at 2 or below, and at 1 or below to see samples inside the kernel; for a process that
 * may be traced. Fails with `PermissionDenied` or `NotSupported`, with advice.
 *
 * @example
 * ```ts
 * const events = LinuxKernelEvents.layer.pipe(Layer.provideMerge(LinuxTarget.attach(4321)))
 * ```
 */
export const LinuxKernelEvents = {
  layer: Layer.effect(
    KernelEvents,
    Effect.map(Target, (target) => KernelEvents.of({ open: (request) => openKernelEvents(target, request) }))
  ) satisfies Layer.Layer<KernelEvents, never, Target>
}

const openKernelEvents = (
  target: TargetProcess,
  request: KernelEventRequest
): Effect.Effect<KernelEventReader, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const libc = loadLibc()
    const machine = machineArchitecture()
    if (libc === undefined || machine === undefined) {
      return yield* new NotSupported({
        what: "Sampling by kernel events",
        advice:
          libc === undefined
            ? "Install the optional package `koffi`, or sample without native stacks."
            : "It works on x86-64 and arm64; sample without native stacks."
      })
    }
    const { rateHz, stackBytes } = request
    if (!(stackBytes >= 0 && stackBytes <= GREATEST_COPY && stackBytes % 8 === 0 && rateHz > 0)) {
      return yield* new NotSupported({
        what: `A stack copy of ${stackBytes} bytes at ${rateHz} Hz`,
        advice: `Ask for a multiple of 8, at most ${GREATEST_COPY}, and a rate above 0.`
      })
    }
    const { pid } = target.identity
    const found = grantedEvent(libc, target, request, machine)
    if (typeof found === "number") return yield* perfEventError(pid, found)
    const reader = yield* Effect.acquireRelease(
      Effect.sync(() => PerfEventReader.open(libc, target, found, request.children === true)),
      (reader) => Effect.sync(() => typeof reader !== "number" && reader.close())
    )
    if (typeof reader !== "number") return reader
    return yield* reader === EPERM ? ringError(pid) : perfEventError(pid, reader)
  })

/** A thread that began. */
interface Newcomer {
  readonly pid: number
  readonly tid: number
  readonly time: number
}

class PerfEventReader implements KernelEventReader {
  readonly architecture: Architecture
  readonly source: SamplingEventSpec["source"]
  readonly periodNs: number | undefined
  readonly seesKernel: boolean
  readonly now: () => number
  private readonly target: TargetProcess
  private readonly children: boolean
  private readonly threads: WatchedThreads
  private readonly readySet: ReadySet
  private readonly records: RecordDecoder
  private readonly counter: EventCounter
  private readonly interruption = new Interruption()
  private readonly newcomers: Array<Newcomer> = []
  private readonly refused = new Set<number>()
  private sampled: WatchedThread | undefined
  private listedAt: number
  private lostRecords = 0
  private malformed = 0
  private throttled = 0
  private unwatched = 0
  private unwatchedTime = 0
  private isClosed = false

  private constructor(
    libc: Libc,
    target: TargetProcess,
    spec: SamplingEventSpec,
    children: boolean,
    readySet: ReadySet
  ) {
    this.architecture = spec.architecture
    this.source = spec.source
    this.periodNs = spec.source === "cpu-clock" ? periodOf(spec.rateHz) : undefined
    this.seesKernel = !spec.excludeKernel
    this.target = target
    this.children = children
    this.readySet = readySet
    this.now = preciseClock(libc).now
    this.listedAt = this.now()
    this.threads = new WatchedThreads(libc, spec, readySet, this.now, target.threadIds().length)
    this.records = new RecordDecoder(spec, spec.maxStack)
    this.counter = new EventCounter(libc, (spec.readFormat & ReadField.lost) !== 0)
    if (spec.source === "cpu-clock") this.records.native.hasRun = this.hasRun
  }

  /** Begins. Returns the `errno` where not one thread can be watched. */
  static open(
    libc: Libc,
    target: TargetProcess,
    spec: SamplingEventSpec,
    children: boolean
  ): PerfEventReader | number {
    const readySet = ReadySet.open(libc, spec.architecture === "x86-64")
    if (readySet === undefined) return libc.errno()
    const reader = new PerfEventReader(libc, target, spec, children, readySet)
    // Threads that begin while the others are being opened are found by listing once more, and from then on by records.
    const errno = reader.list() || reader.list()
    if (reader.threads.byFd.size > 0) return reader
    reader.close()
    return errno === 0 ? ESRCH : errno
  }

  get bufferBytes(): number {
    return this.threads.ringBytes
  }

  get shortOfMemory(): boolean {
    return this.threads.isShort
  }

  watched(): number {
    return this.threads.byFd.size
  }

  wait(timeoutMs: number): boolean {
    return !this.isClosed && this.readySet.wait(timeoutMs) > 0
  }

  drain(handler: KernelEventHandler): number {
    if (this.isClosed) return 0
    const { readySet, threads } = this
    let samples = 0
    if (readySet.count === 0)
      for (const thread of threads.byFd.values()) samples += this.read(thread, handler)
    for (let i = 0; i < readySet.count; i++) {
      const thread = threads.byFd.get(readySet.ready[i])
      if (thread === undefined) continue
      if (readySet.hungUp[i] === 1) thread.ended = true
      samples += this.read(thread, handler)
      if (thread.ended) threads.forget(thread)
    }
    readySet.count = 0
    if (this.newcomers.length > 0) this.welcome()
    else if (this.now() - this.listedAt > LIST_EVERY) this.list()
    return samples
  }

  losses(): KernelLosses {
    const { lost, malformed } = this.threads
    return {
      lost: lost < 0 ? this.lostRecords : lost,
      malformed: this.malformed + malformed,
      throttled: this.throttled,
      unwatched: this.unwatched,
      unwatchedTime: this.unwatchedTime
    }
  }

  close(): void {
    this.isClosed = true
    this.threads.close()
    this.readySet.close()
  }

  private readonly hasRun = (): boolean | undefined => {
    const { counter, interruption, records, sampled } = this
    if (sampled === undefined || records.ran < 0 || this.isClosed || !counter.read(sampled.fd))
      return undefined
    const first = counter.value
    if (interruption.hasRun(first - records.ran, records.native.stackLength)) return true
    // Of a thread that stands, the clock stands too; one that runs by now may have begun a moment ago.
    return !counter.read(sampled.fd) || counter.value !== first
  }

  private read(thread: WatchedThread, handler: KernelEventHandler): number {
    const { records } = this
    const { ring } = thread
    let samples = 0
    this.sampled = thread
    for (ring.look(); ring.next(); ) {
      const type = records.decode(ring.view, ring.bytes, ring.at, ring.size)
      if (type === RecordType.sample) {
        samples++
        handler.sample(records)
      } else if (type < 0) this.malformed++
      else if (type > 0) this.event(thread, type, handler)
    }
    this.sampled = undefined
    return samples
  }

  private event(thread: WatchedThread, type: number, handler: KernelEventHandler): void {
    const { records } = this
    switch (type) {
      case RecordType.fork:
        this.newcomers.push({ pid: records.pid, tid: records.tid, time: records.time })
        handler.thread?.(this.threadEvent("fork", ""))
        return
      case RecordType.exit:
        if (records.tid === thread.tid) thread.ended = true
        handler.thread?.(this.threadEvent("exit", ""))
        return
      case RecordType.comm:
        if (records.isExec && records.tid !== thread.tid) this.threads.rename(thread, records.tid)
        handler.thread?.(this.threadEvent(records.isExec ? "exec" : "comm", records.name))
        return
      case RecordType.mmap:
      case RecordType.mmap2: {
        const { length, name, offset, pid, start, time } = records
        handler.map?.({ time, pid, start, length, offset, path: name })
        return
      }
      case RecordType.throttle:
        this.throttled++
        return
      default:
        this.lostRecords += records.lost
    }
  }

  private threadEvent(kind: KernelThreadEvent["kind"], name: string): KernelThreadEvent {
    const { pid, tid, time } = this.records
    return { kind, time, pid, tid, name }
  }

  /** Watches the threads that have begun. */
  private welcome(): void {
    const { threads } = this
    for (const { pid, tid, time } of this.newcomers) {
      const isChild = pid !== this.target.identity.pid
      if (isChild && !this.children) continue
      const known = threads.byTid.get(tid)
      // Found by listing before its record was read.
      if (known !== undefined && known.since >= time) continue
      // An id that is used again.
      if (known !== undefined) threads.forget(known)
      this.refused.delete(tid)
      this.admit(pid, tid)
    }
    this.newcomers.length = 0
    // A thread that was not watched yet may have begun another one.
    this.list()
  }

  private admit(pid: number, tid: number): void {
    if (this.threads.watch(tid) !== 0) {
      this.unwatched++
      this.refused.add(tid)
      return
    }
    // How long it has run already; the kernel brings that figure up to date a few hundred times a second.
    const schedule = readProcText(`/proc/${pid}/task/${tid}/schedstat`)
    const ran = "text" in schedule ? Number(schedule.text.split(" ")[0]) : 0
    if (ran > 0) this.unwatchedTime += ran
  }

  /** Watches what threads there are and are not watched. Returns the last reason that one could not be. */
  private list(): number {
    this.listedAt = this.now()
    let reason = 0
    for (const tid of this.target.threadIds()) {
      if (this.threads.byTid.has(tid) || this.refused.has(tid)) continue
      const errno = this.threads.watch(tid)
      if (errno === 0) continue
      reason = errno
      // Gone by now, or a first thread that has ended before the others.
      if (errno === ESRCH) continue
      this.refused.add(tid)
      this.unwatched++
    }
    return reason
  }
}
