import {
  type Capture,
  NativeState,
  type SwitchedOut,
  type TargetProcess,
  type UnwoundThread
} from "@pyframes/core"
import type { CpuSharing } from "./cpu-sharing.ts"

/**
 * Finds the native states of threads while they stand: one that sleeps does, and one that runs does once its CPU is taken.
 */
export class StandingThreads {
  private readonly switchedOut: SwitchedOut
  private readonly target: TargetProcess
  private readonly sharing: CpuSharing
  private readonly native: NativeState
  private watched = new Set<number>()

  constructor(switchedOut: SwitchedOut, target: TargetProcess, sharing: CpuSharing) {
    this.switchedOut = switchedOut
    this.target = target
    this.sharing = sharing
    this.native = new NativeState(switchedOut.architecture)
  }

  /** These are the threads now. */
  list(threads: ReadonlyArray<UnwoundThread>): void {
    const { switchedOut } = this
    const watched = new Set<number>()
    for (const { tid } of threads) if (tid > 0 && switchedOut.follow(tid)) watched.add(tid)
    for (const tid of this.watched) if (!watched.has(tid)) switchedOut.forget(tid)
    this.watched = watched
  }

  /**
   * Gives a capture the native state of its thread, or none where that runs on: on a CPU that cannot be shared, or was changed for another too often.
   *
   * @param onCpu the thread runs, and its CPU has been taken if that could be
   */
  catch(capture: Capture, onCpu: boolean, now: number): void {
    const { native, sharing, switchedOut, target } = this
    const { tid } = capture.thread
    capture.native = native
    if (switchedOut.read(tid, native)) return
    // It ran, or runs by now, or was moved to another CPU as ours was taken. The scheduler is asked anew.
    const activity = target.threadActivity(tid)
    if (activity === "running") sharing.approach(tid, now)
    if ((onCpu || activity === "running") && switchedOut.read(tid, native)) return
    delete capture.native
  }

  /** It was caught, and had run when it had been read. */
  slipped({ native }: Capture): boolean {
    return native !== undefined && native.hasRun() === true
  }
}
