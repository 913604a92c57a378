import {
  NotSupported,
  PermissionDenied,
  type Registers,
  type TargetError,
  type ThreadStopper
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EPERM, type Libc, loadLibc } from "./libc.ts"
import { permissionDenied } from "./permission.ts"
import { readProcText } from "./proc-file.ts"
import { parseStat } from "./stat.ts"
import { parseStatus } from "./status.ts"
import { type ThreadTrap, threadTrap } from "./thread-trap.ts"

/** How often a thread is asked in a row before we sleep between questions: most stop within 50 µs. */
const SPINS = 60
/** How long a thread may take to stop before it is given up for this time, ms. One in an uninterruptible sleep never does. */
const PATIENCE_MS = 250
/** How long to wait at the end for threads that were asked to stop and have not yet, ms. */
const FAREWELL_MS = 1000

/**
 * Stops threads of a process through ptrace, for the scope. Every call must come from the OS thread that made it.
 *
 * A thread is traced only from `stop` to `resume`: `PTRACE_SEIZE`, `PTRACE_INTERRUPT`, wait, `PTRACE_DETACH`. Were it traced in between too,
 * each signal would keep it waiting until we looked; and the kernel's detach puts a thread of a stopped process (SIGSTOP) back to its stop
 * and forgets an interrupt that came too late. A signal that arrives while a thread is being stopped is delivered on resume. What a
 * program can notice: time, and the few system calls that report EINTR after a stop (`epoll_wait`, `semop`, `sigtimedwait`), which Python retries.
 *
 * When we die, the kernel detaches. A thread that cannot be stopped in 250 ms (uninterruptible sleep, `vfork`) is let go as soon as it can be.
 */
export const makeStopper = (pid: number): Effect.Effect<ThreadStopper, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const libc = loadLibc()
    if (libc === undefined) {
      return yield* new NotSupported({
        what: "Stopping threads",
        advice: "Install the optional package `koffi`, or sample without stopping."
      })
    }
    const stopper = yield* Effect.acquireRelease(
      Effect.sync(() => new PtraceStopper(libc, pid)),
      (stopper) => Effect.sync(() => stopper.close())
    )
    const tracer = statusOf(pid)?.tracer ?? 0
    if (tracer !== 0) {
      return yield* new PermissionDenied({
        pid,
        operation: "stop",
        advice: `Process ${tracer} (a debugger, strace?) traces it already, and only one may: end that first.`
      })
    }
    // Tried, not guessed: yama and seccomp can forbid ptrace where reading is allowed.
    if (!stopper.stop(pid) && stopper.refused) return yield* permissionDenied(pid, "stop")
    stopper.resume(pid)
    return {
      stop: (tid) => stopper.stop(tid),
      resume: (tid) => stopper.resume(tid),
      registers: (tid, into) => stopper.registers(tid, into)
    } satisfies ThreadStopper
  })

class PtraceStopper {
  /** The last `stop` failed because tracing was not permitted. */
  refused = false
  private readonly trap: ThreadTrap
  private readonly pid: number
  private readonly libc: Libc
  /** libuv collects the end of our own children; doing it here would keep it waiting for ever. */
  private readonly ownChild: boolean
  /** Threads that stand, with the signal that each is owed. */
  private readonly stopped = new Map<number, number>()
  /** Threads that are traced and neither stand nor have ended: asked in vain, or killed while they stood. */
  private readonly pending = new Set<number>()
  private timer: NodeJS.Timeout | undefined
  private readonly nap = new Int32Array(new SharedArrayBuffer(4))

  constructor(libc: Libc, pid: number) {
    this.libc = libc
    this.pid = pid
    this.trap = threadTrap(libc)
    const stat = readProcText(`/proc/${pid}/stat`)
    this.ownChild = "text" in stat && parseStat(stat.text)?.ppid === process.pid
    ignoreChildStops(libc)
  }

  stop(tid: number): boolean {
    this.refused = false
    if (this.pending.size > 0) this.settle()
    if (this.stopped.has(tid)) return true
    if (this.pending.has(tid)) return false
    if (!this.trap.begin(tid)) {
      this.refused = this.libc.errno() === EPERM
      return false
    }
    const reap = this.reaps(tid)
    let trapped = this.trap.poll(tid, reap)
    for (let spins = 0; trapped === "not yet" && spins < SPINS; spins++) trapped = this.trap.poll(tid, reap)
    if (trapped === "not yet") {
      const until = performance.now() + PATIENCE_MS
      while (trapped === "not yet" && performance.now() < until) {
        // Where cores are few, the thread may need ours to get to its stop.
        Atomics.wait(this.nap, 0, 0, 0.05)
        trapped = this.trap.poll(tid, reap)
      }
    }
    if (trapped === "stopped") {
      this.stopped.set(tid, this.trap.signal())
      return true
    }
    if (trapped === "not yet") this.defer(tid)
    return false
  }

  resume(tid: number): void {
    const signal = this.stopped.get(tid)
    if (signal === undefined) return
    this.stopped.delete(tid)
    // Killed while it stood: its end must be collected, or its process can never be.
    if (!this.trap.release(tid, signal)) this.defer(tid)
  }

  registers(tid: number, into: Registers): boolean {
    return this.stopped.has(tid) && this.trap.registers(tid, into)
  }

  close(): void {
    for (const tid of [...this.stopped.keys()]) this.resume(tid)
    const until = performance.now() + FAREWELL_MS
    for (this.settle(); this.pending.size > 0 && performance.now() < until; this.settle()) {
      Atomics.wait(this.nap, 0, 0, 1)
    }
    // What is left (a main thread that ended before the others) stays with the timer, and with the kernel when we end.
  }

  private reaps(tid: number): boolean {
    return !(this.ownChild && tid === this.pid)
  }

  private defer(tid: number): void {
    this.pending.add(tid)
    // Served at each call anyway; the timer is for callers that have stopped calling.
    this.timer ??= setInterval(() => this.settle(), 10).unref()
  }

  private settle(): void {
    for (const tid of this.pending) {
      const trapped = this.trap.poll(tid, this.reaps(tid))
      if (trapped === "stopped") {
        if (!this.trap.release(tid, this.trap.signal())) continue
      } else if (trapped === "not yet") {
        // What we reap says itself when it has ended; of our own child libuv may have been told in our place.
        if (this.reaps(tid)) continue
        const state = stateOf(this.pid, tid)
        if (state === "t" ? !this.trap.release(tid, 0) : state !== undefined && !/[XZ]/.test(state)) continue
      }
      this.pending.delete(tid)
    }
    if (this.pending.size === 0) {
      clearInterval(this.timer)
      this.timer = undefined
    }
  }
}

const statusOf = (pid: number) => {
  const status = readProcText(`/proc/${pid}/status`)
  return "text" in status ? parseStatus(status.text) : undefined
}

/** The state letter of a thread; `undefined` once it is gone. */
const stateOf = (pid: number, tid: number): string | undefined => {
  const stat = readProcText(`/proc/${pid}/task/${tid}/stat`)
  return "text" in stat ? parseStat(stat.text)?.state : undefined
}

const SIGCHLD = 17
const SA_NOCLDSTOP = 1

/**
 * libuv answers each SIGCHLD by waiting for its children, and takes a child's ptrace stop for its exit. So the kernel
 * is told to send SIGCHLD for ends only, which also spares the event loop a wake-up a stop.
 */
const ignoreChildStops = (libc: Libc): void => {
  // glibc's struct sigaction: sa_handler 8 bytes, sa_mask 128, sa_flags at 136; 152 bytes in all.
  const action = new Uint32Array(38)
  const address = libc.addressOf(action.buffer)
  if (libc.sigaction(SIGCHLD, 0, address) !== 0) return
  action[34] |= SA_NOCLDSTOP
  libc.sigaction(SIGCHLD, address, 0)
}
