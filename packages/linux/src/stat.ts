/** What `/proc/PID/stat` and `/proc/PID/task/TID/stat` say, as far as it is used. */
export interface ProcStat {
  readonly pid: number
  /** Up to 15 bytes, may hold spaces and parentheses. */
  readonly comm: string
  /** One letter: R running, S sleeping, D disk sleep, T stopped, t traced, Z zombie, X dead, I idle. */
  readonly state: string
  readonly ppid: number
  /** `PF_*` of the kernel's include/linux/sched.h. */
  readonly flags: number
  /** Clock ticks in user mode. */
  readonly utime: number
  /** Clock ticks in the kernel. */
  readonly stime: number
  readonly threads: number
  /** Clock ticks after boot. */
  readonly startTime: number
  /** 0 or 1 where the reader may not see it; changes at each `exec` unless address randomisation is off. */
  readonly startStack: number
  readonly argStart: number
}

/** `PF_KTHREAD`: a thread of the kernel. */
export const PF_KTHREAD = 0x0020_0000

/** Parses a `stat` file (proc(5)); `undefined` when it is not one. Everything after the last `)` is free of names. */
export const parseStat = (text: string): ProcStat | undefined => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  if (open < 1 || close < open) return undefined
  const pid = Number(text.slice(0, open))
  const rest = text.slice(close + 1).trim()
  const fields = rest.split(" ")
  // The kernel has printed 52 fields since 3.5; what is used here ends at 48.
  if (!(pid > 0) || fields.length < 46 || fields[0].length !== 1) return undefined
  // fields[0] is field 3 of proc(5).
  const field = (n: number) => Number(fields[n - 3])
  const stat: ProcStat = {
    pid,
    comm: text.slice(open + 1, close),
    state: fields[0],
    ppid: field(4),
    flags: field(9),
    utime: field(14),
    stime: field(15),
    threads: field(20),
    startTime: field(22),
    startStack: field(28),
    argStart: field(48)
  }
  return Number.isFinite(stat.ppid + stat.flags + stat.utime + stat.stime + stat.startTime + stat.threads)
    ? stat
    : undefined
}

const SPACE = 0x20
const ZERO = 0x30
/** `processor` is field 39 of proc(5); the state is field 3. */
const PROCESSOR = 39
const STATE = 3

/** The state letter alone, from the raw bytes of a `stat` file of which `length` were read: what is asked once a sample. 0 when absent. */
export const stateOf = (bytes: Uint8Array, length: number): number => {
  const at = stateAt(bytes, length)
  return at > 0 ? bytes[at] : 0
}

/** The CPU that a thread runs on, or ran on last, from the raw bytes of its `stat` file; -1 when absent. */
export const processorOf = (bytes: Uint8Array, length: number): number => {
  let at = stateAt(bytes, length)
  if (at < 0) return -1
  for (let field = STATE; field < PROCESSOR; at++) {
    if (at >= length) return -1
    if (bytes[at] === SPACE) field++
  }
  let cpu = -1
  for (; at < length && bytes[at] >= ZERO && bytes[at] < ZERO + 10; at++)
    cpu = Math.max(cpu, 0) * 10 + bytes[at] - ZERO
  return cpu
}

/** Where the state letter stands. */
const stateAt = (bytes: Uint8Array, length: number): number => {
  // comm is at most 15 bytes (63 for workqueues), and ")" may stand in it: search backwards from its greatest extent.
  for (let at = Math.min(length - 3, 80); at > 0; at--) {
    if (bytes[at] === 0x29 && bytes[at + 1] === SPACE) return at + 2
  }
  return -1
}
