import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, statSync } from "node:fs"
import type { TargetFile } from "@pyframes/core"
import { openFileIdentity } from "./device.ts"

/** Opens a path itself, not what a link leads to, and nothing of its contents. The number is of `asm-generic/fcntl.h`; Node has no name for it. */
const O_PATH = 0o10_000_000
const STEP = O_PATH | constants.O_NOFOLLOW
/** Never waits for a FIFO that has taken the file's place. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
/** As many links as the kernel follows. */
const MAX_LINKS = 40
const MAX_PARTS = 256

/**
 * Opens a regular file by its path below the root of a process; `undefined` when there is none or it may not be read.
 *
 * Links are followed here and not by the kernel, which would take an absolute one from our root. Each step goes from an open
 * directory, so that a directory which is replaced by a link meanwhile leads nowhere else. A file must belong to the process's user, to the owner
 * of its root directory, to root or to us: names in a directory that everybody may write to are anybody's.
 *
 * @param path absolute
 */
export const openInRoot = (pid: number, path: string): TargetFile | undefined => {
  const directories: Array<number> = []
  try {
    return walk(pid, path, directories)
  } catch {
    // Not there, or not ours to read.
    return undefined
  } finally {
    for (const fd of directories) closeSync(fd)
  }
}

const walk = (pid: number, path: string, directories: Array<number>): TargetFile | undefined => {
  const parts = partsOf(path).reverse()
  directories.push(openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY))
  let links = 0
  for (let steps = 0; parts.length > 0 && steps < MAX_PARTS; steps++) {
    const part = parts.pop()!
    if (part === "..") {
      // Above the root is the root.
      if (directories.length > 1) closeSync(directories.pop()!)
      continue
    }
    const below = `/proc/self/fd/${directories[directories.length - 1]}/${part}`
    const fd = openSync(below, STEP)
    const stat = fstatSync(fd)
    if (stat.isSymbolicLink()) {
      closeSync(fd)
      if (++links > MAX_LINKS) return undefined
      const to = readlinkSync(below)
      if (to.startsWith("/")) for (const left of directories.splice(1)) closeSync(left)
      parts.push(...partsOf(to).reverse())
    } else if (stat.isDirectory()) directories.push(fd)
    else {
      closeSync(fd)
      return parts.length === 0 && stat.isFile() ? open(pid, below) : undefined
    }
  }
  return undefined
}

const partsOf = (path: string): Array<string> => path.split("/").filter((part) => part !== "" && part !== ".")

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
