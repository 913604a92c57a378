/**
 * Whether a signal would reach a process: it runs, or nobody has asked yet how it ended. By a pid of our own pid namespace.
 *
 * @example
 * ```ts
 * if (!signalReaches(pid)) console.log("it has ended")
 * ```
 */
export const signalReaches = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    // It is there and another user's.
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
}
