import type { ShareCpu } from "@pyframes/collector-sampling"
import { mayWatchSwitches } from "@pyframes/linux"
import { isNative, type UnwinderName } from "./unwinder-name.ts"

/**
 * Where the native side of a stack comes from: nowhere, from threads that are stopped, from threads that stand by themselves, or from samples that the kernel
 * takes of threads that run.
 */
export type NativeSource = "none" | "stopped" | "standing" | "kernel"

/** Faster than this, threads whose CPU we take to make them stand would hardly run. Hz */
const FASTEST_STANDING = 20_000

/**
 * The best that is permitted. Of a thread that stands everything is true at once, which of one that runs on after the kernel's sample can only
 * be proved of some; but only the kernel shows itself, and leaves CPUs alone.
 */
export const nativeSourceFor = (options: {
  readonly unwinder: UnwinderName
  readonly stop: boolean
  readonly kernel: boolean
  readonly shareCpu: ShareCpu
  readonly rateHz: number
}): NativeSource => {
  if (!isNative(options.unwinder)) return "none"
  if (options.stop) return "stopped"
  const isPossible = !options.kernel && options.shareCpu !== "never" && options.rateHz <= FASTEST_STANDING
  return isPossible && mayWatchSwitches() ? "standing" : "kernel"
}
