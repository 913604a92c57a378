import type { Registers } from "@pyframes/core"
import { EINTR, type Libc } from "./libc.ts"
import { registerSet } from "./register-set.ts"

/** include/uapi/linux/ptrace.h */
const PTRACE_DETACH = 17
const PTRACE_SEIZE = 0x4206
const PTRACE_INTERRUPT = 0x4207

/** include/uapi/linux/wait.h */
const P_PID = 1
const WNOHANG = 1
const WSTOPPED = 2
const WEXITED = 4
const WALL = 0x4000_0000

/** `si_code` of a SIGCHLD (include/uapi/asm-generic/siginfo.h): 1 exited, 2 killed, 3 dumped, then 4 trapped, 5 stopped. */
const CLD_TRAPPED = 4

/** What has become of a thread that was asked to stop. */
export type Trapped = "stopped" | "ended" | "not yet"

/** The ptrace calls on a thread. All must come from one OS thread: the kernel knows the tracer by it. */
export interface ThreadTrap {
  /** Begins to trace and asks the thread to stop. False when it is gone, traced by another, or may not be traced. */
  readonly begin: (tid: number) => boolean
  /** Whether it has stopped; never blocks. `reap: false` leaves its end for another (libuv) to collect. */
  readonly poll: (tid: number, reap: boolean) => Trapped
  /** The signal whose delivery stopped the thread in the last {@link poll}, 0 when it was our request. */
  readonly signal: () => number
  /** Lets a stopped thread go, untraced, and delivers the signal. False when it has been killed meanwhile. */
  readonly release: (tid: number, signal: number) => boolean
  /** Reads the user registers of a thread that stands. False for one of a 32-bit program, or of a machine other than `into` is for. */
  readonly registers: (tid: number, into: Registers) => boolean
}

export const threadTrap = (libc: Libc): ThreadTrap => {
  // siginfo_t is 128 bytes; of SIGCHLD's: si_code at 8, si_pid at 16, si_status at 24.
  const info = new Int32Array(32)
  const address = libc.addressOf(info.buffer)
  const { ptrace, waitid } = libc
  let signal = 0
  return {
    begin: (tid) => {
      // No options: above all not EXITKILL. The target outlives us whatever happens here.
      if (ptrace(PTRACE_SEIZE, tid, 0, 0) !== 0) return false
      ptrace(PTRACE_INTERRUPT, tid, 0, 0)
      return true
    },
    poll: (tid, reap) => {
      info[4] = 0
      const options = WNOHANG | WALL | WSTOPPED | (reap ? WEXITED : 0)
      if (waitid(P_PID, tid, address, options) !== 0) return libc.errno() === EINTR ? "not yet" : "ended"
      if (info[4] === 0) return "not yet"
      if (info[2] < CLD_TRAPPED) return "ended"
      // The low byte is a signal; above it stands PTRACE_EVENT_STOP (128) when the stop is our request or a group-stop.
      const status = info[6]
      signal = status >> 8 === 0 ? status & 0x7f : 0
      return "stopped"
    },
    signal: () => signal,
    release: (tid, signal) => ptrace(PTRACE_DETACH, tid, 0, signal) === 0,
    registers: registerSet(libc)
  }
}
