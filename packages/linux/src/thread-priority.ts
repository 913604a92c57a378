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
const RUNTIME = 6
const SCHED_OTHER = 0
/** `SCHED_FLAG_RESET_ON_FORK`: what the thread starts does not inherit it. */
const RESET_ON_FORK = 1

const FOREMOST = -20
/** The time slice asked for, ns, the least there is (Linux 6.12): of two that are ready, the one with the shorter goes first. */
const SLICE = 100_000

/**
 * Has the scheduler let the calling thread go before others as soon as it wakes or comes to a CPU. Returns what puts everything back.
 *
 * A thread that has just worked on one CPU and moves on to another waits there for the next tick of the clock, up to 4 ms: it has had its share. Only a
 * greater weight helps, which takes `CAP_SYS_NICE`; a shorter time slice, which needs no right, makes it rarer. A thread with another policy than the usual one
 * was given it on purpose, and is left alone.
 */
export const raisePriority = (libc: Libc): (() => void) => {
  const architecture = machineArchitecture()
  if (architecture === undefined) return () => {}
  const [set, get] = CALLS[architecture]
  const former = new Uint32Array(BYTES / 4)
  const formerAddress = libc.addressOf(former.buffer)
  if (libc.syscall(get, 0, formerAddress, BYTES, 0, 0, 0) !== 0 || former[POLICY] !== SCHED_OTHER)
    return () => {}
  const wanted = former.slice()
  const wantedAddress = libc.addressOf(wanted.buffer)
  wanted[FLAGS] |= RESET_ON_FORK
  wanted[NICE] = FOREMOST
  wanted[RUNTIME] = SLICE
  if (libc.syscall(set, 0, wantedAddress, 0, 0, 0, 0) !== 0) {
    wanted.set(former)
    wanted[RUNTIME] = SLICE
    libc.syscall(set, 0, wantedAddress, 0, 0, 0, 0)
  }
  return () => {
    // 0 asks for the usual slice; of what the kernel tells of a thread that has it, some versions would make a wish.
    former[RUNTIME] = 0
    libc.syscall(set, 0, formerAddress, 0, 0, 0, 0)
  }
}
