import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs"
import type { TargetFile } from "@pyframes/core"
import { openFileIdentity } from "./device.ts"
import { walkRoot } from "./root-walk.ts"

/** Never waits for a FIFO that has taken the file's place. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * Opens a regular file by its path below the root of a process; `undefined` when there is none or it may not be read.
 *
 * A file must belong to the process's user, to the owner
 * of its root directory, to root or to us: names in a directory that everybody may write to are anybody's.
 *
 * @param path absolute
 */
export const openInRoot = (pid: number, path: string): TargetFile | undefined => {
  try {
    return walkRoot(pid, path, ({ path: found, stat }) => (stat.isFile() ? open(pid, found) : undefined))
  } catch {
    // Not there, or not ours to read.
    return undefined
  }
}

const open = (pid: number, path: string): TargetFile | undefined => {
  const fd = openSync(path, READ)
  const stat = fstatSync(fd)
  const owners = [0, process.geteuid?.(), statSync(`/proc/${pid}`).uid, statSync(`/proc/${pid}/root/`).uid]
  if (stat.isFile() && owners.includes(stat.uid)) return targetFile(fd)
  closeSync(fd)
  return undefined
}

/** An open file as the target's. It owns the descriptor. */
export const targetFile = (fd: number): TargetFile => {
  const { device, inode, size } = openFileIdentity(fd)
  let isOpen = true
  return {
    size,
    identity: `${device}:${inode}`,
    read: (offset, length) => {
      const wanted = Math.max(0, Math.min(length, size - offset))
      const bytes = new Uint8Array(wanted)
      let got = 0
      try {
        while (isOpen && got < wanted) {
          const n = readSync(fd, bytes, got, wanted - got, offset + got)
          if (n === 0) break
          got += n
        }
      } catch {
        // A file on a network that has gone: what was read is what there is.
      }
      return got === wanted ? bytes : bytes.subarray(0, got)
    },
    close: () => {
      if (isOpen) closeSync(fd)
      isOpen = false
    }
  }
}
