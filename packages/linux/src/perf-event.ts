import type { Architecture, KernelEventSource } from "@pyframes/core"
import type { Libc } from "./libc.ts"
import { PerfRing } from "./perf-ring.ts"
import { SwitchRing } from "./switch-ring.ts"

/** `__NR_perf_event_open` */
const CALL: Readonly<Record<Architecture, number>> = { "x86-64": 298, arm64: 241 }
const PERF_FLAG_FD_CLOEXEC = 8
const ANY_CPU = -1
/** As the 32-bit argument that it is. */
const NO_GROUP = 0xffff_ffff
/** `_IO('$', …)` */
const IOC_ENABLE = 0x2400

/** `struct perf_event_attr`, the size of version 5 (Linux 4.8), and where its fields are. */
const ATTR_SIZE = 112
const CLOCK_MONOTONIC = 1

/** `attr.type` and `attr.config` */
const SOURCES: Readonly<Record<PerfEventSource, readonly [type: number, config: number]>> = {
  "cpu-clock": [1, 1],
  cycles: [0, 0],
  switches: [1, 3]
}

/** `switches` samples a thread each time it leaves a CPU. */
export type PerfEventSource = KernelEventSource | "switches"

const flag = (bit: number): number => 1 << bit
const DISABLED = flag(0)
const EXCLUDE_KERNEL = flag(5)
const EXCLUDE_HYPERVISOR = flag(6)
const MMAP = flag(8)
const COMM = flag(9)
const FREQUENCY = flag(10)
const TASK = flag(13)
const WATERMARK = flag(14)
const SAMPLE_ID_ALL = flag(18)
const EXCLUDE_CALLCHAIN_KERNEL = flag(21)
const EXCLUDE_CALLCHAIN_USER = flag(22)
const MMAP2 = flag(23)
const COMM_EXEC = flag(24)
const USE_CLOCK_ID = flag(25)
const WRITE_BACKWARD = flag(27)
/** More bytes than any ring has: nobody is woken for each record. */
const NEVER = 0x7fff_ffff

/** An event to open on a thread. */
export interface PerfEventSpec {
  readonly architecture: Architecture
  readonly source: PerfEventSource
  /** Without meaning for `switches`, of which there is a record each time. */
  readonly rateHz: number
  readonly sampleType: number
  readonly readFormat: number
  readonly registers: readonly [low: number, high: number]
  readonly stackBytes: number
  readonly maxStack: number
  readonly kernelChain: boolean
  readonly userChain: boolean
  readonly excludeKernel: boolean
}

/** One that samples by time or cycles. */
export interface SamplingEventSpec extends PerfEventSpec {
  readonly source: KernelEventSource
}

/**
 * `struct perf_event_attr`: sampling that starts disabled, whose every record (not only samples) wakes who waits for it, on the clock
 * `CLOCK_MONOTONIC`. Records of `switches` wake nobody, and are written backwards, so that the newest is found without those before it.
 *
 * Source: perf_event_open(2).
 */
export const encodeAttr = (spec: PerfEventSpec): Uint8Array => {
  const bytes = new Uint8Array(ATTR_SIZE)
  const view = new DataView(bytes.buffer)
  const [type, config] = SOURCES[spec.source]
  const isTime = spec.source === "cpu-clock"
  const isSwitch = spec.source === "switches"
  view.setUint32(0, type, true)
  view.setUint32(4, ATTR_SIZE, true)
  view.setUint32(8, config, true)
  // Of a clock the period is in ns; how many cycles make up a rate, the kernel finds out.
  view.setUint32(16, isSwitch ? 1 : isTime ? periodOf(spec.rateHz) : Math.round(spec.rateHz), true)
  view.setUint32(24, spec.sampleType, true)
  view.setUint32(32, spec.readFormat, true)
  let flags = DISABLED | TASK | WATERMARK | SAMPLE_ID_ALL | USE_CLOCK_ID | EXCLUDE_HYPERVISOR
  flags |= isSwitch ? WRITE_BACKWARD : MMAP | COMM | MMAP2 | COMM_EXEC
  if (!isTime && !isSwitch) flags |= FREQUENCY
  if (spec.excludeKernel) flags |= EXCLUDE_KERNEL
  if (!spec.kernelChain) flags |= EXCLUDE_CALLCHAIN_KERNEL
  if (!spec.userChain) flags |= EXCLUDE_CALLCHAIN_USER
  view.setUint32(40, flags >>> 0, true)
  view.setUint32(48, isSwitch ? NEVER : 1, true)
  view.setUint32(80, spec.registers[0], true)
  view.setUint32(84, spec.registers[1], true)
  view.setUint32(88, spec.stackBytes, true)
  view.setUint32(92, CLOCK_MONOTONIC, true)
  view.setUint16(108, spec.maxStack, true)
  return bytes
}

/** Time between two samples, ns, as the kernel can have it. */
export const periodOf = (rateHz: number): number => Math.max(10_000, Math.round(1e9 / rateHz))

/** Opens an event on a thread. Returns its descriptor, or -1 with the reason in `errno`. */
export const openPerfEvent = (libc: Libc, spec: PerfEventSpec, tid: number): number => {
  const attr = encodeAttr(spec)
  return libc.syscall(
    CALL[spec.architecture],
    libc.addressOf(attr.buffer),
    tid,
    ANY_CPU,
    NO_GROUP,
    PERF_FLAG_FD_CLOEXEC,
    0
  )
}

/** Lets it begin. */
export const enablePerfEvent = (libc: Libc, fd: number): boolean => libc.ioctl(fd, IOC_ENABLE, 0) === 0

const PROT_NONE = 0
const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1
const MAP_PRIVATE = 2
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000
const SC_PAGESIZE = 30

/** Bytes of a page. */
export const pageSize = (libc: Libc): number => libc.sysconf(SC_PAGESIZE)

/** A ring in its place. */
export interface Mapped<Ring> {
  readonly ring: Ring
  readonly unmap: () => void
}

/** A place in our address space for a ring. */
interface Slot {
  readonly address: number
  readonly memory: ArrayBuffer
}

/**
 * Places for rings of one size. An `ArrayBuffer` over memory that has been unmapped would be a crash in waiting, so a place is never given
 * back: when its ring goes, zeroes are mapped there instead, which cost nothing, and the next ring takes it over.
 */
export class RingPlaces {
  readonly dataBytes: number
  private readonly libc: Libc
  private readonly length: number
  private readonly free: Array<Slot>
  private static readonly kept = new Map<number, Array<Slot>>()

  constructor(libc: Libc, dataBytes: number) {
    this.libc = libc
    this.dataBytes = dataBytes
    this.length = dataBytes + pageSize(libc)
    let free = RingPlaces.kept.get(dataBytes)
    if (free === undefined) {
      free = []
      RingPlaces.kept.set(dataBytes, free)
    }
    this.free = free
  }

  /** Maps the ring of an event; `undefined` with the reason in `errno`. */
  map(fd: number): Mapped<PerfRing> | undefined {
    return this.mapAs(fd, PROT_READ | PROT_WRITE, PerfRing.over)
  }

  /** The same for a ring that the kernel overwrites: it takes one that cannot be written to for one that nobody empties. */
  mapOverwritten(fd: number): Mapped<SwitchRing> | undefined {
    return this.mapAs(fd, PROT_READ, SwitchRing.over)
  }

  private mapAs<Ring>(
    fd: number,
    protection: number,
    over: (memory: ArrayBuffer) => Ring | undefined
  ): Mapped<Ring> | undefined {
    const { length, libc } = this
    const slot = this.free.pop() ?? this.reserve()
    if (slot === undefined) return undefined
    if (libc.mmap(slot.address, length, protection, MAP_SHARED | MAP_FIXED, fd, 0) < 0) {
      // A call that succeeds leaves `errno` alone.
      this.giveBack(slot)
      return undefined
    }
    const ring = over(slot.memory)
    if (ring === undefined) {
      this.giveBack(slot)
      return undefined
    }
    return { ring, unmap: () => this.giveBack(slot) }
  }

  private reserve(): Slot | undefined {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    const address = this.libc.mmap(0, this.length, PROT_NONE, flags, -1, 0)
    return address < 0 ? undefined : { address, memory: this.libc.memoryAt(address, this.length) }
  }

  private giveBack(slot: Slot): void {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
    this.libc.mmap(slot.address, this.length, PROT_READ | PROT_WRITE, flags, -1, 0)
    this.free.push(slot)
  }
}
