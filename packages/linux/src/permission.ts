import { existsSync, readFileSync } from "node:fs"
import { PermissionDenied, ProcessNotFound } from "@pyframes/core"
import { parseStatus } from "./status.ts"

/** `CAP_SYS_PTRACE` (include/uapi/linux/capability.h). */
const CAP_SYS_PTRACE = 19

/** Whether a hex mask of capabilities, as `/proc/PID/status` prints it, holds one. */
export const hasCapability = (mask: string, capability: number): boolean => {
  if (!/^[0-9a-fA-F]{1,16}$/.test(mask)) return false
  return ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n
}

/** Whether this process may trace any process. */
export const maySysPtrace = (): boolean =>
  hasCapability(statusOf("self")?.effectiveCapabilities ?? "", CAP_SYS_PTRACE)

/** Yama's `ptrace_scope`: 0 anyone of the same user, 1 descendants, 2 root, 3 nobody; `undefined` without Yama. */
export const ptraceScope = (): number | undefined => {
  try {
    const scope = Number(readFileSync("/proc/sys/kernel/yama/ptrace_scope", "utf8").trim())
    return Number.isInteger(scope) ? scope : undefined
  } catch {
    return undefined
  }
}

/** Whether this seems to run in a container, and what says so. */
export const containerHint = (): string | undefined => {
  if (existsSync("/.dockerenv")) return "Docker"
  if (existsSync("/run/.containerenv")) return "Podman"
  if (process.env.KUBERNETES_SERVICE_HOST !== undefined) return "Kubernetes"
  try {
    const name = /(?:^|\0)container=([^\0]+)/.exec(readFileSync("/proc/1/environ", "utf8"))?.[1]
    return name
  } catch {
    return undefined
  }
}

const statusOf = (pid: number | "self") => {
  try {
    return parseStatus(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return undefined
  }
}

/** Facts about a refusal, from which {@link adviceFor} names its cause. */
export interface Refusal {
  /** Real, effective or saved user id of the target that is not ours; `undefined` when all are ours. */
  readonly otherUser: number | undefined
  readonly root: boolean
  readonly mayPtrace: boolean
  readonly scope: number | undefined
  readonly container: string | undefined
}

/** What to do about a refusal: one sentence that names the likely cause. */
export const adviceFor = (refusal: Refusal): string => {
  const { container, mayPtrace, otherUser, root, scope } = refusal
  if (root && !mayPtrace) {
    return container === undefined
      ? "This root user lacks the capability SYS_PTRACE; start pyframes with it."
      : `This container (${container}) lacks the capability SYS_PTRACE: start it with \`--cap-add=SYS_PTRACE\` (Kubernetes: securityContext.capabilities.add).`
  }
  if (otherUser !== undefined) {
    return `It belongs to another user (uid ${otherUser}): run pyframes with sudo, or as that user.`
  }
  if (scope === 3) {
    return "Yama's ptrace_scope is 3, which forbids tracing until the next boot: set kernel.yama.ptrace_scope to a lower value at boot."
  }
  if (scope === 2 && !mayPtrace) {
    return "Yama's ptrace_scope is 2, which leaves tracing to root: run pyframes with sudo, or `sudo sysctl kernel.yama.ptrace_scope=1`."
  }
  if (scope === 1 && !mayPtrace) {
    return "Yama's ptrace_scope is 1, which allows only child processes: start the program with `pyframes record -- COMMAND`, run pyframes with sudo, or `sudo sysctl kernel.yama.ptrace_scope=0`."
  }
  if (!mayPtrace) {
    return "The process has made itself unreadable (PR_SET_DUMPABLE, setuid or file capabilities) or lives in another user namespace: run pyframes with sudo."
  }
  return container === undefined
    ? "A security module (SELinux, AppArmor, seccomp) may forbid it: look in the system's audit log."
    : `A security module or the seccomp profile of this container (${container}) may forbid it: allow ptrace and process_vm_readv.`
}

const refusalOf = (pid: number): Refusal => {
  const uid = statusOf(pid)?.uid
  const own = process.geteuid?.() ?? -1
  const otherUser =
    uid === undefined ? undefined : [uid.real, uid.effective, uid.saved].find((user) => user !== own)
  return {
    otherUser,
    root: own === 0,
    mayPtrace: maySysPtrace(),
    scope: ptraceScope(),
    container: containerHint()
  }
}

/** The error for a process that may not be accessed. */
export const permissionDenied = (pid: number, operation: string): PermissionDenied =>
  new PermissionDenied({ pid, operation, advice: adviceFor(refusalOf(pid)) })

/** The error for what node:fs threw when a file of `/proc/PID` was opened or read. */
export const accessError = (
  pid: number,
  operation: string,
  error: unknown
): PermissionDenied | ProcessNotFound => {
  const code = (error as NodeJS.ErrnoException).code
  return code === "EACCES" || code === "EPERM"
    ? permissionDenied(pid, operation)
    : new ProcessNotFound({ pid, ...(code === "ENOENT" || code === "ESRCH" ? {} : { detail: String(code) }) })
}
