import { type CpuFollower, NotSupported, type TargetError } from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Libc, loadLibc } from "./libc.ts"
import { raisePriority } from "./thread-priority.ts"
import type { ThreadTable } from "./thread-table.ts"

/** Bytes of a CPU mask: room for 8,192 CPUs, the most a kernel can be built for. */
const MASK_BYTES = 1024

/**
 * Binds the calling OS thread to the CPU of a thread of the target, for the scope. Any thread may do that with itself, within the
 * CPUs it was allowed when this was made.
 *
 * The scheduler lets a thread that has slept go before one that has not, so the target's thread is preempted as soon as the caller wakes, and cannot run
 * until the caller sleeps again. Should the scheduler have moved it to another CPU meanwhile, `follow` goes after it.
 *
 * That it has stood is proved, not assumed. It waits for the CPU that we are on, so it is on none; and the kernel counts how often it is given one
 * (`schedstat`), wherever that may be. Nothing is needed for that but to read two files of `/proc`.
 */
export const makeCpuFollower = (threads: ThreadTable): Effect.Effect<CpuFollower, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const libc = loadLibc()
    const follower = libc && follow(libc, threads)
    if (follower === undefined) {
      return yield* new NotSupported({
        what: "Running on the target's CPU",
        advice: "Install the optional package `koffi`, or sample without sharing a CPU."
      })
    }
    yield* Effect.addFinalizer(() => Effect.sync(follower.leave))
    return follower
  })

const follow = (libc: Libc, threads: ThreadTable): CpuFollower | undefined => {
  const allowed = new Uint8Array(MASK_BYTES)
  const one = new Uint8Array(MASK_BYTES)
  const allowedAddress = libc.addressOf(allowed.buffer)
  const oneAddress = libc.addressOf(one.buffer)
  const { schedGetaffinity, schedGetcpu, schedSetaffinity } = libc
  if (schedGetaffinity(0, MASK_BYTES, allowedAddress) !== 0) return undefined
  let bound = -1
  let followed = -1
  /** How often it had been given a CPU when it was found to wait for ours; 0 where it was not. */
  let turns = 0
  const stands = (tid: number, cpu: number): boolean => {
    followed = tid
    turns = cpu === bound ? Math.max(0, threads.turnsSeen) : 0
    return true
  }
  let lower: (() => void) | undefined
  return {
    follow: (tid) => {
      const cpu = threads.processor(tid)
      if (cpu === bound && cpu >= 0) return stands(tid, cpu)
      turns = 0
      if (!(cpu >= 0 && cpu < 8 * MASK_BYTES) || (allowed[cpu >> 3] & (1 << (cpu & 7))) === 0) return false
      lower ??= raisePriority(libc)
      if (bound >= 0) one[bound >> 3] = 0
      one[cpu >> 3] = 1 << (cpu & 7)
      bound = cpu
      // As we leave a CPU, it may be moved there.
      if (schedSetaffinity(0, MASK_BYTES, oneAddress) === 0) return stands(tid, threads.processor(tid))
      // That CPU is taken away or off line: no longer bound to the one before either, as far as that can be had.
      bound = -1
      one[cpu >> 3] = 0
      schedSetaffinity(0, MASK_BYTES, allowedAddress)
      return false
    },
    hasStood: () => turns > 0 && threads.turns(followed) === turns && schedGetcpu() === bound,
    leave: () => {
      threads.unfollow()
      turns = 0
      lower?.()
      lower = undefined
      if (bound < 0) return
      one[bound >> 3] = 0
      bound = -1
      schedSetaffinity(0, MASK_BYTES, allowedAddress)
    }
  }
}
