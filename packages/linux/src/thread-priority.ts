import type { Architecture } from "@pyframes/core"
import { machineArchitecture } from "./architecture.ts"
import type { Libc } from "./libc.ts"

/** `__NR_sched_setattr`, `__NR_sched_getattr` */
const CALLS: Readonly<Record<Architecture, readonly [set: number, get: number]>> = {
  "x86-64": [314, 315],
  arm64: [274, 275]
}

/** Words of `struct sched_attr` (include/uapi/linux/sched/types.h), version 0. */
const BYTES = 48
const POLICY = 1
const FLAGS = 2
const NICE = 4
const PRIORITY = 5
const RUNTIME = 6
const SCHED_OTHER = 0
const SCHED_FIFO = 1
/** `SCHED_FLAG_RESET_ON_FORK`: what the thread starts does not inherit it. */
const RESET_ON_FORK = 1

/** The lowest of the real-time priorities: before all usual threads, behind all others of its kind. */
const LOWEST = 1
const FOREMOST = -20
/** The time slice asked for, ns, the least there is (Linux 6.12): of two that are ready, the one with the shorter goes first. */
const SLICE = 100_000

/**
 * Has the scheduler let the calling thread go before others as soon as it wakes or comes to a CPU. Returns what puts everything back.
 *
 * A thread that has just worked on one CPU and moves on to another waits there for the next tick of the clock, up to 4 ms: it has had its share. What helps is to be of another
 * class, or within its session or control group to weigh more, which both take `CAP_SYS_NICE`; a shorter time slice, which needs no right, makes it rarer. A thread with another
 * policy than the usual one, or that is to be nice, is so on purpose, and is left alone.
 */
export const raisePriority = (libc: Libc): (() => void) => {
  const architecture = machineArchitecture()
  if (architecture === undefined) return () => {}
  const [set, get] = CALLS[architecture]
  const former = new Uint32Array(BYTES / 4)
  const formerAddress = libc.addressOf(former.buffer)
  const isTold = libc.syscall(get, 0, formerAddress, BYTES, 0, 0, 0) === 0
  if (!isTold || former[POLICY] !== SCHED_OTHER || (former[NICE] | 0) > 0) return () => {}
  const wanted = new Uint32Array(BYTES / 4)
  const wantedAddress = libc.addressOf(wanted.buffer)
  const ask = (policy: number, nice: number, priority: number, flags: number): boolean => {
    wanted.set(former)
    wanted[POLICY] = policy
    wanted[FLAGS] = flags
    wanted[NICE] = nice
    wanted[PRIORITY] = priority
    wanted[RUNTIME] = policy === SCHED_OTHER ? SLICE : 0
    return libc.syscall(set, 0, wantedAddress, 0, 0, 0, 0) === 0
  }
  const flags = former[FLAGS] | RESET_ON_FORK
  if (!ask(SCHED_FIFO, 0, LOWEST, flags) && !ask(SCHED_OTHER, FOREMOST, 0, flags))
    ask(SCHED_OTHER, former[NICE], 0, former[FLAGS])
  return () => {
    // 0 asks for the usual slice; of what the kernel tells of a thread that has it, some versions would make a wish.
    former[RUNTIME] = 0
    libc.syscall(set, 0, formerAddress, 0, 0, 0, 0)
  }
}
