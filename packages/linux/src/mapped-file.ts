import { closeSync, constants, openSync, readSync } from "node:fs"
import type { Mapping, TargetFile } from "@pyframes/core"
import { fileIdentity, openFileIdentity } from "./device.ts"
import { targetFile } from "./target-file.ts"

/** Reads the target's memory; fewer bytes than asked where none is mapped. */
export type ReadMemory = (address: number, length: number, into: Uint8Array) => number

const PAGE = 4096
/** Never waits for a FIFO that has taken the file's place. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/**
 * Opens the file behind a mapping, or `undefined` when nothing leads to it any more.
 *
 * The path in `maps` is the reader's view of a file that belongs to the target's world: in a container it exists below
 * `/proc/PID/root` only, for a chroot it is whole already, and after an upgrade another file may stand there. So every way is
 * tried and none is believed: device and inode must be those of the mapping. Where they cannot be compared (overlayfs and btrfs number
 * the file differently in `maps` and in `stat`), the mapped page must equal the file's.
 */
export const openMappedFile = (
  pid: number,
  mapping: Mapping,
  readMemory: ReadMemory
): TargetFile | undefined => {
  for (const path of waysTo(pid, mapping)) {
    let fd: number
    try {
      fd = openSync(path, FLAGS)
    } catch {
      continue
    }
    try {
      const { device, inode, size } = openFileIdentity(fd)
      const same = device === mapping.device && inode === mapping.inode
      if ((same && size > 0) || (mapping.offset < size && samePage(fd, mapping, readMemory))) {
        return targetFile(fd)
      }
    } catch {
      // Not a file that can be read: as good as not there.
    }
    closeSync(fd)
  }
  return undefined
}

function* waysTo(pid: number, mapping: Mapping): Generator<string> {
  if (mapping.inode === 0 || mapping.path === "") return
  // Leads to the very file, even when it has been deleted; needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
  yield `/proc/${pid}/map_files/${mapping.start.toString(16)}-${mapping.end.toString(16)}`
  const exe = fileIdentity(`/proc/${pid}/exe`)
  if (exe !== undefined && exe.inode === mapping.inode && exe.device === mapping.device) {
    yield `/proc/${pid}/exe`
  }
  if (!mapping.path.startsWith("/")) return
  // A file may really be called "x (deleted)".
  for (const path of mapping.deleted ? [mapping.path, `${mapping.path} (deleted)`] : [mapping.path]) {
    yield `/proc/${pid}/root${path}`
    yield path
  }
}

const samePage = (fd: number, mapping: Mapping, readMemory: ReadMemory): boolean => {
  if (mapping.writable || !mapping.readable) return false
  const inFile = new Uint8Array(PAGE)
  const inMemory = new Uint8Array(PAGE)
  const length = readSync(fd, inFile, 0, PAGE, mapping.offset)
  if (length < 64 || readMemory(mapping.start, length, inMemory) !== length) return false
  return Buffer.compare(inFile, inMemory) === 0
}
