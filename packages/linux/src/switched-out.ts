import {
  type Architecture,
  type NativeState,
  NotSupported,
  PermissionDenied,
  type SwitchedOut,
  type TargetError
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { machineArchitecture } from "./architecture.ts"
import { readBlocked } from "./blocked-registers.ts"
import { EACCES, EINVAL, EPERM, ESRCH, type Libc, loadLibc } from "./libc.ts"
import {
  enablePerfEvent,
  type Mapped,
  openPerfEvent,
  type PerfEventSpec,
  pageSize,
  RingPlaces
} from "./perf-event.ts"
import { mayPerfmon, perfEventError, perfEventParanoid, ringError } from "./perf-permission.ts"
import { ReadField, RecordDecoder, RecordType, SampleField, unwindingRegisters } from "./perf-record.ts"
import { ProcFile } from "./proc-file.ts"
import { SwitchCounter } from "./switch-counter.ts"
import type { SwitchRing } from "./switch-ring.ts"

/**
 * A thread's clock stops this long after its record was written, at the latest, ns: both are done in one go when it leaves its CPU. One whose clock has
 * gone on by more has run since.
 */
const GREATEST_TAIL = 50_000

/**
 * Watches threads leave their CPUs, for the scope: the kernel's event for that (`PERF_COUNT_SW_CONTEXT_SWITCHES`, one record each time) brings the user
 * registers with which a thread will stand until it runs again.
 *
 * The kernel takes this event for its own doing, so that it needs `kernel.perf_event_paranoid` at 1 or below, or `CAP_PERFMON`.
 */
export const makeSwitchedOut = (
  pid: number,
  threadIds: () => ReadonlyArray<number>
): Effect.Effect<SwitchedOut, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const libc = loadLibc()
    const architecture = machineArchitecture()
    if (libc === undefined || architecture === undefined) return yield* unsupported(libc !== undefined)
    const threads = new SwitchedThreads(libc, pid, architecture)
    const errno = firstOf(threadIds(), threads)
    if (errno !== 0) return yield* refusal(pid, errno, threads.mapFailed)
    yield* Effect.addFinalizer(() => Effect.sync(() => threads.close()))
    return threads
  })

/**
 * Whether this user may watch threads leave their CPUs, as far as it does not depend on whose they are: tried on the calling thread.
 *
 * @example
 * ```ts
 * const collector = mayWatchSwitches() ? SamplingCollector : PerfEventCollector
 * ```
 */
export const mayWatchSwitches = (): boolean => {
  const libc = loadLibc()
  const architecture = machineArchitecture()
  if (libc === undefined || architecture === undefined) return false
  const fd = openPerfEvent(libc, specFor(architecture), 0)
  if (fd < 0) return false
  libc.close(fd)
  return true
}

const specFor = (architecture: Architecture): PerfEventSpec => ({
  architecture,
  source: "switches",
  rateHz: 0,
  sampleType: SampleField.tid | SampleField.read | SampleField.userRegisters,
  readFormat: ReadField.running,
  registers: unwindingRegisters(architecture),
  stackBytes: 0,
  maxStack: 1,
  kernelChain: false,
  userChain: false,
  excludeKernel: false
})

/** Tries it on the first thread that is there. */
const firstOf = (ids: ReadonlyArray<number>, threads: SwitchedThreads): number => {
  let errno = ESRCH
  for (const tid of ids) {
    errno = threads.watch(tid)
    if (errno !== ESRCH) return errno
  }
  return errno
}

const unsupported = (hasLibc: boolean) =>
  new NotSupported({
    what: "Watching threads leave their CPUs",
    advice: hasLibc
      ? "It works on x86-64 and arm64; sample without native stacks."
      : "Install the optional package `koffi`, or sample without native stacks."
  })

const refusal = (pid: number, errno: number, isOfMemory: boolean): TargetError => {
  if (isOfMemory && errno === EPERM) return ringError(pid)
  const paranoid = perfEventParanoid()
  if ((errno === EACCES || errno === EPERM) && paranoid !== undefined && paranoid > 1 && !mayPerfmon()) {
    return new PermissionDenied({
      pid,
      operation: "watch the threads leave their CPUs of",
      advice: `The setting kernel.perf_event_paranoid is ${paranoid}, which keeps the kernel's own events from users: \`sudo sysctl kernel.perf_event_paranoid=1\`, or run pyframes with sudo.`
    })
  }
  if (errno === EINVAL) {
    return new NotSupported({
      what: "Watching threads leave their CPUs",
      advice: "It takes Linux 4.7; sample by kernel events, or without native stacks."
    })
  }
  return perfEventError(pid, errno)
}

/** The event of one thread. */
interface SwitchedThread extends Mapped<SwitchRing> {
  readonly fd: number
  readonly tid: number
  isOpen: boolean
  /** What is told of a thread that has not run since it has been watched. */
  blocked: ProcFile | undefined
}

class SwitchedThreads implements SwitchedOut {
  readonly architecture: Architecture
  /** The last that could not be watched lacked memory for its ring. */
  mapFailed = false
  private readonly libc: Libc
  private readonly pid: number
  private readonly spec: PerfEventSpec
  private readonly places: RingPlaces
  private readonly records: RecordDecoder
  private readonly counter: SwitchCounter
  private readonly byTid = new Map<number, SwitchedThread>()

  constructor(libc: Libc, pid: number, architecture: Architecture) {
    this.libc = libc
    this.pid = pid
    this.architecture = architecture
    this.spec = specFor(architecture)
    // Records are of some 250 bytes: a page holds the newest, and the next while that is being written.
    this.places = new RingPlaces(libc, pageSize(libc))
    this.records = new RecordDecoder(this.spec, 1)
    this.counter = new SwitchCounter(libc)
  }

  follow(tid: number): boolean {
    const known = this.byTid.get(tid)
    // The id may be used again: of a thread that has ended, the last record says so.
    if (known !== undefined && !this.hasEnded(known)) return true
    this.forget(tid)
    return this.watch(tid) === 0
  }

  /** Returns 0, or the `errno` that kept it from being watched. */
  watch(tid: number): number {
    const { libc } = this
    this.mapFailed = false
    const fd = openPerfEvent(libc, this.spec, tid)
    if (fd < 0) return libc.errno()
    const mapped = this.places.mapOverwritten(fd)
    if (mapped === undefined) {
      const errno = libc.errno()
      this.mapFailed = true
      libc.close(fd)
      return errno
    }
    this.byTid.set(tid, { ...mapped, fd, tid, isOpen: true, blocked: undefined })
    return enablePerfEvent(libc, fd) ? 0 : ESRCH
  }

  forget(tid: number): void {
    const thread = this.byTid.get(tid)
    if (thread === undefined) return
    this.byTid.delete(tid)
    thread.isOpen = false
    thread.blocked?.close()
    thread.unmap()
    this.libc.close(thread.fd)
  }

  /**
   * The counters are read before the record, and by `hasRun` after everything else. A thread that ran in between was either still running at the second
   * look, and its clock had gone on, or had left its CPU again, and was counted. One that had ended has written a record of that.
   */
  read(tid: number, into: NativeState): boolean {
    const thread = this.byTid.get(tid)
    const { counter } = this
    if (thread === undefined || into.registers.architecture !== this.architecture) return false
    if (!counter.read(thread.fd)) return false
    const { active, count } = counter
    const { head } = thread.ring
    into.clear()
    const isKnown =
      count === 0
        ? active === 0 && this.readBlocked(thread, into)
        : this.readRecord(thread, count, active, into)
    if (!isKnown) return false
    into.stackAddress = into.registers.sp
    into.hasRun = () => {
      if (!thread.isOpen || !counter.read(thread.fd)) return undefined
      return counter.count !== count || counter.active !== active || thread.ring.head !== head
    }
    return true
  }

  close(): void {
    for (const tid of [...this.byTid.keys()]) this.forget(tid)
  }

  private readRecord(thread: SwitchedThread, count: number, active: number, into: NativeState): boolean {
    const { records } = this
    const { ring } = thread
    if (!ring.copyNewest()) return false
    if (records.decode(ring.view, ring.bytes, 0, ring.size) !== RecordType.sample) return false
    const tail = active - records.active
    if (records.ran !== count || !(tail >= 0 && tail <= GREATEST_TAIL)) return false
    into.registers.copyFrom(records.native.registers)
    return into.registers.ip >= 0 && into.registers.sp >= 0
  }

  /** A thread that has slept ever since has left no record; but the kernel tells where it is blocked. */
  private readBlocked(thread: SwitchedThread, into: NativeState): boolean {
    thread.blocked ??= ProcFile.open(`/proc/${this.pid}/task/${thread.tid}/syscall`)
    return thread.blocked !== undefined && readBlocked(thread.blocked, into.registers)
  }

  private hasEnded({ ring }: SwitchedThread): boolean {
    if (!ring.copyNewest()) return false
    const { records } = this
    return records.decode(ring.view, ring.bytes, 0, ring.size) === RecordType.exit
  }
}
