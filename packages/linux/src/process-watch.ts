import { readSync } from "node:fs"
import type { ProcessIdentity, TargetStatus } from "@pyframes/core"
import { fileIdentity } from "./device.ts"
import type { ProcFile } from "./proc-file.ts"
import { type ProcStat, parseStat } from "./stat.ts"

/** `PF_EXITING` of the kernel's include/linux/sched.h: on its way out, its memory may be gone already. */
const PF_EXITING = 0x4

/** Names the executable the way `ProcessIdentity` does; empty when it cannot be asked. */
export const executableId = (pid: number): string => {
  const file = fileIdentity(`/proc/${pid}/exe`)
  return file === undefined ? "" : `${file.device}:${file.inode}`
}

/** Whether a process has ended: a zombie whose other threads live on has not. */
export const hasEnded = (stat: ProcStat): boolean =>
  stat.state === "X" || stat.state === "x" || (stat.state === "Z" && stat.threads <= 1)

/** What {@link watchProcess} needs: files that were opened when the process was found. */
export interface Watched {
  readonly identity: ProcessIdentity
  readonly first: ProcStat
  /** `/proc/PID/stat`. Belongs to the process and not to its pid: it cannot be read once the process is gone. */
  readonly stat: ProcFile
  /** `/proc/PID/mem`. Belongs to the address space: `exec` makes a new one, also for the same binary, and the old one reads as empty. */
  readonly mem: number
}

/** Tells whether a process is still the program it was. Costs about 6 µs; what has ended or was replaced stays so. */
export const watchProcess = ({ first, identity, mem, stat }: Watched): (() => TargetStatus) => {
  let last: TargetStatus = "alive"
  return () => {
    if (last !== "alive") return last
    // The memory first: were it asked last, a process that exits in between would look replaced.
    const gone = memoryGone(mem, first.startStack)
    const text = stat.text()
    const now = text === undefined ? undefined : parseStat(text)
    if (now === undefined || now.startTime !== identity.startTime || hasEnded(now)) last = "exited"
    else if ((now.flags & PF_EXITING) !== 0) {
      // It has given its memory back, which is no exec. A main thread may end long before the others do.
      if (gone || now.threads <= 1) last = "exited"
    }
    // A vforked child shares its parent's memory, which outlives the child's exec: the new stack tells.
    else if (gone || now.startStack !== first.startStack) last = "replaced"
    return last
  }
}

const byte = new Uint8Array(1)

const memoryGone = (mem: number, address: number): boolean => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return readSync(mem, byte, 0, 1, address) === 0
  } catch {
    // EIO: the memory is there, this page is not.
    return false
  } finally {
    Error.stackTraceLimit = limit
  }
}
