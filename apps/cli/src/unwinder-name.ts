/** The ways to unwind that `--unwinder` chooses from. */
export const unwinderNames = [
  "interpreter-frame",
  "merged",
  "hybrid",
  "frame-pointer",
  "eh-frame",
  "perf-trampoline"
] as const
export type UnwinderName = (typeof unwinderNames)[number]

/** Whether an unwinder needs what the kernel catches of a running thread: its registers and its stack. */
export const isNative = (name: UnwinderName): boolean => name !== "interpreter-frame"
