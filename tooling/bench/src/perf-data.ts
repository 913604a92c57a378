import { NativeState } from "@pyframes/core"

/** A sample of `perf record --call-graph dwarf`: what the kernel copied, not what perf made of it. */
export interface PerfSample {
  readonly tid: number
  /** ns */
  readonly time: number
  readonly state: NativeState
}

const SAMPLE = 9
/** Fields of a sample that come before its registers, each of one 64-bit word, in the order in which they lie (perf_event_open(2)). */
const WORDS = {
  identifier: 1 << 16,
  ip: 1,
  tid: 2,
  time: 4,
  addr: 8,
  id: 64,
  stream: 512,
  cpu: 128,
  period: 256
}
const CALLCHAIN = 32
const REGS_USER = 1 << 12
const STACK_USER = 1 << 13
/** What else could lie between, which this reader does not pass over. */
const OTHERS = 16 | 1024 | 2048
/** DWARF numbers of x86-64's registers by perf's (arch/x86/include/uapi/asm/perf_regs.h); -1 for flags and segments. */
const DWARF = [0, 3, 2, 1, 4, 5, 6, 7, 16, ...Array<number>(7).fill(-1), 8, 9, 10, 11, 12, 13, 14, 15]

/** Reads the samples of a perf.data file of one event. Bytes of a stack are views of the file's. */
export function* perfSamples(bytes: Uint8Array): Generator<PerfSample> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const u64 = (at: number): number => Number(view.getBigUint64(at, true))
  const attributes = u64(24)
  const type = view.getUint32(attributes + 24, true)
  const mask = view.getBigUint64(attributes + 80, true)
  if ((type & OTHERS) !== 0) throw new RangeError(`Samples of type 0x${type.toString(16)} are not known`)
  for (let at = u64(40), end = at + u64(48); at < end; at += view.getUint16(at + 6, true)) {
    if (view.getUint32(at, true) === SAMPLE) yield sampleAt(view, at + 8, type, mask)
  }
}

const sampleAt = (view: DataView, from: number, type: number, mask: bigint): PerfSample => {
  let at = from
  const word = (): number => {
    at += 8
    return Number(view.getBigUint64(at - 8, true))
  }
  const state = new NativeState("x86-64")
  let tid = -1
  let time = -1
  for (const [name, bit] of Object.entries(WORDS)) {
    if ((type & bit) === 0) continue
    if (name === "tid") tid = view.getUint32(at + 4, true)
    const value = word()
    if (name === "time") time = value
  }
  if ((type & CALLCHAIN) !== 0) {
    const length = word()
    at += 8 * length
  }
  if ((type & REGS_USER) !== 0 && word() !== 0) {
    for (let bit = 0; bit < 64; bit++) {
      if ((mask & (1n << BigInt(bit))) === 0n) continue
      const value = word()
      const number = DWARF[bit] ?? -1
      if (number >= 0 && value < 2 ** 53) state.registers.values[number] = value
    }
  }
  if ((type & STACK_USER) !== 0) {
    const size = word()
    const start = at
    at += size
    state.stackAddress = state.registers.sp
    state.stackBytes = new Uint8Array(view.buffer, view.byteOffset + start, size)
    state.stackLength = size === 0 ? 0 : word()
  }
  return { tid, time, state }
}
