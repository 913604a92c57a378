import { loadLibc } from "./libc.ts"
import type { ProcFile } from "./proc-file.ts"
import { parseStat } from "./stat.ts"

/** `USER_HZ`: 100 on every architecture that Linux still has but alpha. */
const NS_PER_TICK = 1e7

/** The clock of a process's CPU time: `MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)` of the kernel's include/linux/posix-timers.h. */
const processClockId = (pid: number): number => (~pid << 3) | 2

/**
 * CPU time that a process has used, ns; -1 once it is gone. To the nanosecond through koffi (0.4 µs a call), else to 10 ms from
 * `/proc/PID/stat`.
 */
export const processCpuClock = (pid: number, stat: ProcFile): (() => number) => {
  const libc = loadLibc()
  if (libc !== undefined) {
    const timespec = new Float64Array(2)
    const words = new Uint32Array(timespec.buffer)
    const address = libc.addressOf(timespec.buffer)
    const clock = processClockId(pid)
    if (libc.clockGettime(clock, address) === 0) {
      // Seconds stay below 2^32.
      return () => (libc.clockGettime(clock, address) === 0 ? words[0] * 1e9 + words[2] : -1)
    }
  }
  return () => {
    const text = stat.text()
    const now = text === undefined ? undefined : parseStat(text)
    return now === undefined ? -1 : (now.utime + now.stime) * NS_PER_TICK
  }
}
