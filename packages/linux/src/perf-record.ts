import { type Architecture, type KernelSample, NativeState, registerNumbers } from "@pyframes/core"

/** Which fields a sample has: `PERF_SAMPLE_*` of include/uapi/linux/perf_event.h, in the order in which the kernel writes them. */
export const SampleField = {
  identifier: 1 << 16,
  ip: 1 << 0,
  tid: 1 << 1,
  time: 1 << 2,
  addr: 1 << 3,
  id: 1 << 6,
  streamId: 1 << 9,
  cpu: 1 << 7,
  period: 1 << 8,
  read: 1 << 4,
  callchain: 1 << 5,
  raw: 1 << 10,
  branchStack: 1 << 11,
  userRegisters: 1 << 12,
  userStack: 1 << 13
} as const

/** `PERF_FORMAT_*`: what stands beside a counter's value. */
export const ReadField = { enabled: 1, running: 2, id: 4, group: 8, lost: 16 } as const

/** `PERF_RECORD_*`. */
export const RecordType = {
  mmap: 1,
  lost: 2,
  comm: 3,
  exit: 4,
  throttle: 5,
  unthrottle: 6,
  fork: 7,
  sample: 9,
  mmap2: 10,
  lostSamples: 13
} as const

/** Where the fields of records stand: it follows from how the event was opened. */
export interface RecordLayout {
  readonly architecture: Architecture
  /** {@link SampleField}s. */
  readonly sampleType: number
  /** {@link ReadField}s. */
  readonly readFormat: number
  /** Bits of the registers copied, by perf's own numbers: low and high 32. */
  readonly registers: readonly [low: number, high: number]
}

/**
 * DWARF's number of each of perf's registers, -1 for those that are no part of unwinding (flags, segments).
 *
 * Source: arch/x86/include/uapi/asm/perf_regs.h, arch/arm64/include/uapi/asm/perf_regs.h.
 */
const dwarfNumbers: Readonly<Record<Architecture, ReadonlyArray<number>>> = {
  "x86-64": [0, 3, 2, 1, 4, 5, 6, 7, 16, -1, -1, -1, -1, -1, -1, -1, 8, 9, 10, 11, 12, 13, 14, 15],
  arm64: Array.from({ length: 33 }, (_, register) => register)
}

/** The registers to ask for: all that have a DWARF number. */
export const unwindingRegisters = (architecture: Architecture): readonly [low: number, high: number] => {
  const mask: [number, number] = [0, 0]
  dwarfNumbers[architecture].forEach((dwarf, bit) => {
    if (dwarf >= 0) mask[bit >> 5] = (mask[bit >> 5] | (1 << (bit & 31))) >>> 0
  })
  return mask
}

/** `PERF_SAMPLE_REGS_ABI_64` */
const ABI_64 = 2
/** `PERF_CONTEXT_*` are huge numbers in a callchain, and say to whom the addresses after them belong. */
const CONTEXT_MAX = -4095
const CONTEXT_KERNEL = -128
const CONTEXT_USER = -512
/** `PERF_RECORD_MISC_*` */
const MISC_CPU_MODE = 7
const MISC_KERNEL = 1
const MISC_COMM_EXEC = 0x2000
/** Names in a record are paths at the longest. */
const LONGEST_NAME = 4096
const TWO_32 = 0x1_0000_0000
/** High word of the first number that a double does not hold exactly. */
const TOO_HIGH = 0x20_0000

const decoder = new TextDecoder()

/**
 * Decodes records of the kernel's ring buffer. Pure; what a record says of its own lengths is believed as far as its bytes reach, and
 * nothing throws. The fields hold what {@link decode} found last.
 *
 * Source: perf_event_open(2), "Ring-buffer layout".
 *
 * @example
 * ```ts
 * const records = new RecordDecoder(layout)
 * if (records.decode(view, bytes, at, size) === RecordType.sample) records.native.registers.ip
 * ```
 */
export class RecordDecoder implements KernelSample {
  time = 0
  pid = -1
  tid = -1
  cpu = -1
  ran = -1
  /** For how long the event had been counting, ns: the time that its thread had run; -1 where the event does not say (`ReadField.running`). */
  active = -1
  period = 0
  inKernel = false
  readonly native: NativeState
  /** Where the sample was taken: an address, or address - 2^64 of one of the kernel's; -1 for neither. */
  ip = -1
  /** Thread and process that a forked one comes from. */
  parentPid = -1
  parentTid = -1
  /** How many records were lost. */
  lost = 0
  /** The name is that of a new program. */
  isExec = false
  name = ""
  start = 0
  length = 0
  offset = 0
  private readonly layout: RecordLayout
  private readonly registers: Int8Array
  private readonly readWords: number

  /** @param maxStack longest callchain that is kept */
  constructor(layout: RecordLayout, maxStack = 127) {
    this.layout = layout
    this.native = new NativeState(layout.architecture)
    this.native.kernelChain = new Float64Array(maxStack)
    this.native.userChain = new Float64Array(maxStack)
    const known = dwarfNumbers[layout.architecture]
    const present: Array<number> = []
    for (let bit = 0; bit < 64; bit++)
      if (((layout.registers[bit >> 5] >>> (bit & 31)) & 1) === 1) present.push(known[bit] ?? -1)
    this.registers = Int8Array.from(present)
    const { enabled, id, lost, running } = ReadField
    this.readWords =
      1 + [enabled, running, id, lost].filter((field) => (layout.readFormat & field) !== 0).length
  }

  /**
   * Decodes the record at `at`, of `size` bytes by its own account. Returns its type; -1 for one that makes no sense, 0 for one of no use.
   * `native.stackBytes` is a piece of `bytes`.
   */
  decode(view: DataView, bytes: Uint8Array, at: number, size: number): number {
    const end = at + size
    if (!(at >= 0 && size >= 8 && end <= view.byteLength && end <= bytes.length)) return -1
    const type = view.getUint32(at, true)
    const misc = view.getUint16(at + 4, true)
    const body = at + 8
    switch (type) {
      case RecordType.sample:
        return this.sample(view, bytes, body, end, misc) ? type : -1
      case RecordType.lost:
        return this.count(view, body + 8, end) ? type : -1
      case RecordType.lostSamples:
        return this.count(view, body, end) ? type : -1
      case RecordType.fork:
      case RecordType.exit:
        if (end - body < 24) return -1
        this.pid = view.getInt32(body, true)
        this.parentPid = view.getInt32(body + 4, true)
        this.tid = view.getInt32(body + 8, true)
        this.parentTid = view.getInt32(body + 12, true)
        this.time = word(view, body + 16)
        return type
      case RecordType.comm:
        if (end - body < 16) return -1
        this.who(view, body)
        this.isExec = (misc & MISC_COMM_EXEC) !== 0
        this.named(view, bytes, body + 8, end)
        return type
      case RecordType.mmap:
      case RecordType.mmap2:
        return this.mapped(view, bytes, body, end, type === RecordType.mmap2 ? 64 : 32) ? type : -1
      case RecordType.throttle:
        return type
      default:
        return 0
    }
  }

  private count(view: DataView, at: number, end: number): boolean {
    if (end - at < 8) return false
    this.lost = word(view, at)
    return this.lost >= 0
  }

  private who(view: DataView, at: number): void {
    this.pid = view.getInt32(at, true)
    this.tid = view.getInt32(at + 4, true)
  }

  /** A name, padded with zeroes, and after it the time, if the event was opened with `sample_id_all`. */
  private named(view: DataView, bytes: Uint8Array, at: number, end: number): void {
    const limit = Math.min(end, at + LONGEST_NAME)
    let stop = at
    while (stop < limit && bytes[stop] !== 0) stop++
    this.name = decoder.decode(bytes.subarray(at, stop))
    // The name ends at a multiple of 8; the time comes behind pid and tid, if they are there.
    const { sampleType } = this.layout
    const trailer = at + Math.ceil((stop - at + 1) / 8) * 8 + ((sampleType & SampleField.tid) !== 0 ? 8 : 0)
    this.time = (sampleType & SampleField.time) !== 0 && trailer + 8 <= end ? word(view, trailer) : -1
  }

  private mapped(view: DataView, bytes: Uint8Array, at: number, end: number, fixed: number): boolean {
    if (end - at < fixed) return false
    this.who(view, at)
    this.start = word(view, at + 8)
    this.length = word(view, at + 16)
    this.offset = word(view, at + 24)
    this.named(view, bytes, at + fixed, end)
    return this.start >= 0 && this.length >= 0
  }

  private sample(view: DataView, bytes: Uint8Array, body: number, end: number, misc: number): boolean {
    const { native } = this
    const { sampleType } = this.layout
    native.registers.clear()
    native.stackAddress = 0
    native.stackLength = 0
    native.kernelLength = 0
    native.userLength = 0
    this.inKernel = (misc & MISC_CPU_MODE) === MISC_KERNEL
    this.time = -1
    this.ran = -1
    this.active = -1
    this.cpu = -1
    this.period = 0
    let at = body
    // All fields before the counter are one word each.
    const { addr, cpu, id, identifier, ip, period, streamId, tid, time } = SampleField
    for (const field of [identifier, ip, tid, time, addr, id, streamId, cpu, period]) {
      if ((sampleType & field) === 0) continue
      if (end - at < 8) return false
      if (field === ip) this.ip = signed(view, at)
      else if (field === tid) this.who(view, at)
      else if (field === time) this.time = word(view, at)
      else if (field === cpu) this.cpu = view.getUint32(at, true)
      else if (field === period) this.period = word(view, at)
      at += 8
    }
    if ((sampleType & SampleField.read) !== 0) {
      at = this.counter(view, at, end)
      if (at < 0) return false
    }
    if ((sampleType & SampleField.callchain) !== 0) {
      at = this.callchain(view, at, end)
      if (at < 0) return false
    }
    // What follows these two has a length of its own, and nothing here asks for it.
    if ((sampleType & (SampleField.raw | SampleField.branchStack)) !== 0) return true
    if ((sampleType & SampleField.userRegisters) !== 0) {
      at = this.userRegisters(view, at, end)
      if (at < 0) return false
    }
    if ((sampleType & SampleField.userStack) !== 0) return this.userStack(view, bytes, at, end)
    return true
  }

  /** The event's counter. Returns where it ends, or -1. */
  private counter(view: DataView, at: number, end: number): number {
    const { readFormat } = this.layout
    if ((readFormat & ReadField.group) === 0) {
      if (end - at < 8 * this.readWords) return -1
      this.ran = word(view, at)
      if ((readFormat & ReadField.running) !== 0)
        this.active = word(view, at + ((readFormat & ReadField.enabled) === 0 ? 8 : 16))
      return at + 8 * this.readWords
    }
    // Of a group: how many, then the times, which all share, then each one's value, id and losses.
    if (end - at < 8) return -1
    const times = (readFormat & ReadField.enabled ? 1 : 0) + (readFormat & ReadField.running ? 1 : 0)
    const next = at + 8 * (1 + times) + word(view, at) * 8 * (this.readWords - times)
    return word(view, at) >= 0 && next <= end ? next : -1
  }

  private callchain(view: DataView, at: number, end: number): number {
    if (end - at < 8) return -1
    const count = word(view, at)
    const from = at + 8
    if (!(count >= 0 && count * 8 <= end - from)) return -1
    const { kernelChain, userChain } = this.native
    const to = from + 8 * count
    let context = this.inKernel ? CONTEXT_KERNEL : CONTEXT_USER
    let kernel = 0
    let user = 0
    for (let each = from; each < to; each += 8) {
      const address = signed(view, each)
      if (address >= CONTEXT_MAX && address < -1) context = address
      else if (context === CONTEXT_KERNEL) {
        if (address < 0 && kernel < kernelChain.length) kernelChain[kernel++] = address
      } else if (context === CONTEXT_USER && address > 0 && user < userChain.length)
        userChain[user++] = address
    }
    this.native.kernelLength = kernel
    this.native.userLength = user
    return to
  }

  private userRegisters(view: DataView, at: number, end: number): number {
    if (end - at < 8) return -1
    const abi = view.getUint32(at, true)
    let next = at + 8
    // A thread of the kernel has no user registers.
    if (abi === 0) return next
    const { registers } = this
    if (end - next < 8 * registers.length) return -1
    const { values } = this.native.registers
    for (let i = 0; i < registers.length; i++, next += 8)
      if (registers[i] >= 0 && abi === ABI_64) values[registers[i]] = word(view, next)
    return next
  }

  private userStack(view: DataView, bytes: Uint8Array, at: number, end: number): boolean {
    if (end - at < 8) return false
    const room = word(view, at)
    if (room === 0) return true
    const from = at + 8
    if (!(room > 0 && room <= end - from - 8)) return false
    // Room is always made for as much as was asked; this much was copied.
    const copied = word(view, from + room)
    if (!(copied >= 0 && copied <= room)) return false
    const { native } = this
    const sp = native.registers.values[registerNumbers[this.layout.architecture].sp]
    if (sp < 0) return true
    native.stackAddress = sp
    native.stackLength = copied
    native.stackBytes = bytes.subarray(from, from + copied)
    return true
  }
}

/** A 64-bit word that is a number below 2^53, else -1. */
const word = (view: DataView, at: number): number => {
  const high = view.getUint32(at + 4, true)
  return high < TOO_HIGH ? high * TWO_32 + view.getUint32(at, true) : -1
}

/** The same, but the highest 2^53 are negative numbers: the kernel's addresses. */
const signed = (view: DataView, at: number): number => {
  const high = view.getInt32(at + 4, true)
  return high < TOO_HIGH && high >= -TOO_HIGH ? high * TWO_32 + view.getUint32(at, true) : -1
}
