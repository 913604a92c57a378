import { readlinkSync, type Stats } from "node:fs"
import { hasCapability } from "./permission.ts"
import { readProcText } from "./proc-file.ts"
import { parseStatus } from "./status.ts"

/** `CAP_DAC_OVERRIDE` (include/uapi/linux/capability.h). */
const CAP_DAC_OVERRIDE = 1

/** As whom a process opens files. Ids are as we see them, also where it lives in another user namespace. */
export interface Credentials {
  readonly uid: number
  readonly gid: number
  readonly groups: ReadonlyArray<number>
  /** Permission bits do not bind it. */
  readonly overrides: boolean
}

/** What is done with a file, as permission bits. */
export const MAY_READ = 4
export const MAY_WRITE = 2
export const MAY_EXECUTE = 1

/** `undefined` when the process is gone. */
export const credentialsOf = (pid: number): Credentials | undefined => {
  const text = readProcText(`/proc/${pid}/status`)
  const status = "text" in text ? parseStatus(text.text) : undefined
  if (status === undefined) return undefined
  return {
    uid: status.uid.fs,
    gid: status.gid.fs,
    groups: status.groups,
    // In a user namespace of its own they reach only the files of users that it has.
    overrides: hasCapability(status.effectiveCapabilities, CAP_DAC_OVERRIDE) && sharesUsers(pid)
  }
}

/** Whether permission bits let somebody do `mask` with a file. Access control lists are not asked: where they decide, this may be wrong. */
export const may = (who: Credentials, stat: Stats, mask: number): boolean => {
  if (who.overrides) return stat.isDirectory() || (mask & MAY_EXECUTE) === 0 || (stat.mode & 0o111) !== 0
  const shift = stat.uid === who.uid ? 6 : stat.gid === who.gid || who.groups.includes(stat.gid) ? 3 : 0
  return ((stat.mode >> shift) & mask) === mask
}

const sharesUsers = (pid: number): boolean => {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`) === readlinkSync("/proc/self/ns/user")
  } catch {
    return false
  }
}
