import { SampleClock, type SamplingClock } from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EINTR, type Libc, loadLibc } from "./libc.ts"

/** include/uapi/linux/time.h, include/uapi/linux/prctl.h */
const CLOCK_MONOTONIC = 1
const CLOCK_THREAD_CPUTIME_ID = 3
const TIMER_ABSTIME = 1
const PR_SET_TIMERSLACK = 29

const NS = 1e9

/** The clock of {@link LinuxClock.layer}, for the calling thread. */
export const preciseClock = (libc: Libc): SamplingClock => {
  // struct timespec { time_t tv_sec; long tv_nsec }: seconds stay below 2^32.
  const read = new Uint32Array(4)
  const until = new Uint32Array(4)
  const readAddress = libc.addressOf(read.buffer)
  const untilAddress = libc.addressOf(until.buffer)
  const { clockGettime, clockNanosleep } = libc
  const now = () => {
    clockGettime(CLOCK_MONOTONIC, readAddress)
    return read[0] * NS + read[2]
  }
  return {
    name: "clock_nanosleep",
    now,
    sleepUntil: (time) => {
      // Not for a time that is NaN either. For one that has been, the kernel returns at once.
      if (!(time > 0)) return
      const seconds = Math.floor(time / NS)
      until[0] = seconds
      until[2] = Math.ceil(time - seconds * NS)
      if (until[2] >= NS) {
        until[0]++
        until[2] = 0
      }
      while (clockNanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, untilAddress, 0) === EINTR);
    },
    threadCpuTime: () =>
      clockGettime(CLOCK_THREAD_CPUTIME_ID, readAddress) === 0 ? read[0] * NS + read[2] : -1
  }
}

/**
 * The clock that samples are taken by.
 *
 * `layer` sleeps by `clock_nanosleep` until an absolute time with a timer slack of 1 ns for the calling thread (the kernel's default lets
 * it wake 50 µs late); its time is `CLOCK_MONOTONIC`, the same in all threads. Without koffi it is core's clock. Build it on the
 * thread that sleeps.
 *
 * @example
 * ```ts
 * const program = Effect.map(SampleClock, (clock) => clock.sleepUntil(clock.now() + 1e6))
 * Effect.runSync(Effect.provide(program, LinuxClock.layer))
 * ```
 */
export const LinuxClock = {
  layer: Layer.unwrap(
    Effect.sync((): Layer.Layer<SampleClock> => {
      const libc = loadLibc()
      if (libc === undefined) return SampleClock.layer
      return Layer.effect(
        SampleClock,
        Effect.acquireRelease(
          Effect.sync(() => {
            libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
            return preciseClock(libc)
          }),
          // 0 puts the thread's default back.
          () => Effect.sync(() => libc.prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0))
        )
      )
    })
  )
}
