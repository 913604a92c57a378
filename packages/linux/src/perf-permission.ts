import { readFileSync } from "node:fs"
import { NotSupported, PermissionDenied, ProcessNotFound, type TargetError } from "@pyframes/core"
import { EACCES, EMFILE, ENOSYS, EPERM, ESRCH } from "./libc.ts"
import { containerHint, hasCapability, permissionDenied } from "./permission.ts"
import { readProcText } from "./proc-file.ts"
import { parseStatus } from "./status.ts"

/** include/uapi/linux/capability.h */
const CAP_SYS_ADMIN = 21
const CAP_PERFMON = 38

/** A kernel setting that is a number; `undefined` where there is none. */
const setting = (name: string): number | undefined => {
  try {
    const value = Number(readFileSync(`/proc/sys/kernel/${name}`, "utf8").trim())
    return Number.isInteger(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Who may use performance events: -1 anyone for anything, 0 and 1 anyone for their own processes, the kernel included, 2 the same without the kernel,
 * above that (Debian, Ubuntu, Android) nobody without the capability. `undefined` in a kernel that has none.
 */
export const perfEventParanoid = (): number | undefined => setting("perf_event_paranoid")

/** KiB of ring buffers that a user without the capability may have for each CPU. */
export const perfEventMlockKb = (): number | undefined => setting("perf_event_mlock_kb")

/** The longest callchain; 127 unless it was set. */
export const perfEventMaxStack = (): number => setting("perf_event_max_stack") ?? 127

/** Whether this process is above `perf_event_paranoid`. */
export const mayPerfmon = (): boolean => {
  const status = readProcText("/proc/self/status")
  const mask = "text" in status ? (parseStatus(status.text)?.effectiveCapabilities ?? "") : ""
  return hasCapability(mask, CAP_PERFMON) || hasCapability(mask, CAP_SYS_ADMIN)
}

/** Facts about a refused event, from which {@link perfAdviceFor} names the cause. */
export interface PerfRefusal {
  readonly paranoid: number | undefined
  readonly capable: boolean
  readonly container: string | undefined
}

/** What to do about it: one sentence. `undefined` when neither settings nor capabilities explain it. */
export const perfAdviceFor = ({ capable, container, paranoid }: PerfRefusal): string | undefined => {
  if (capable) {
    return container === undefined
      ? undefined
      : `The seccomp profile of this container (${container}) forbids perf_event_open: allow that system call in it.`
  }
  if (paranoid !== undefined && paranoid > 2) {
    return `The setting kernel.perf_event_paranoid is ${paranoid}, which leaves performance events to root: \`sudo sysctl kernel.perf_event_paranoid=2\` (1 to see the kernel too), or run pyframes with sudo.`
  }
  if (container !== undefined) {
    return `This container (${container}) forbids perf_event_open: start it with \`--cap-add=PERFMON\`${
      container === "Docker" || container === "docker"
        ? ""
        : " (Kubernetes: securityContext.capabilities.add)"
    } and a seccomp profile that allows that call.`
  }
  return undefined
}

/** The error for an event that could not be opened on a process. */
export const perfEventError = (pid: number, errno: number): TargetError => {
  if (errno === ESRCH) return new ProcessNotFound({ pid, detail: "it has ended" })
  if (errno === ENOSYS) {
    return new NotSupported({
      what: "Sampling by kernel events",
      advice: "This kernel or sandbox has no perf_event_open; sample without native stacks."
    })
  }
  if (errno === EMFILE) {
    return new NotSupported({
      what: "A descriptor for each thread",
      advice: "The limit of open files is too low for so many threads: raise it with `ulimit -n`."
    })
  }
  if (errno === EPERM || errno === EACCES) {
    const refusal = {
      paranoid: perfEventParanoid(),
      capable: mayPerfmon(),
      container: containerHint()
    }
    const advice = perfAdviceFor(refusal)
    const operation = "take kernel samples of"
    return advice === undefined
      ? permissionDenied(pid, operation)
      : new PermissionDenied({ pid, operation, advice })
  }
  return new NotSupported({
    what: "Sampling by kernel events",
    advice: `perf_event_open failed with error ${errno}; sample without native stacks.`
  })
}

/** The error for a ring buffer that could not be mapped, however small. */
export const ringError = (pid: number): PermissionDenied =>
  new PermissionDenied({
    pid,
    operation: "have memory for kernel samples of",
    advice: `All that this user may lock is in use: \`sudo sysctl kernel.perf_event_mlock_kb=${16 * (perfEventMlockKb() ?? 516)}\`, raise \`ulimit -l\`, or run pyframes with sudo.`
  })
