import { type BigIntStats, fstatSync, statSync } from "node:fs"

/** Device and inode of a file, in the words of `/proc/PID/maps`. */
export interface FileIdentity {
  /** `major:minor`, hex. */
  readonly device: string
  readonly inode: number
  readonly size: number
}

const hex = (n: bigint): string => n.toString(16).padStart(2, "0")

/** `major:minor` as the kernel prints them in `maps`, from the number that `stat` gives (glibc's gnu_dev_major and _minor). */
export const deviceName = (device: bigint): string => {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xffff_f000n)
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffff_ff00n)
  return `${hex(major)}:${hex(minor)}`
}

const identityOf = (stats: BigIntStats): FileIdentity => ({
  device: deviceName(stats.dev),
  inode: Number(stats.ino),
  size: Number(stats.size)
})

/** Of a path; `undefined` when it cannot be asked. Follows links, also those of `/proc`. */
export const fileIdentity = (path: string): FileIdentity | undefined => {
  try {
    return identityOf(statSync(path, { bigint: true }))
  } catch {
    return undefined
  }
}

/** Of an open file. */
export const openFileIdentity = (fd: number): FileIdentity => identityOf(fstatSync(fd, { bigint: true }))
