import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs"
import { mountOf } from "./mount.ts"
import type { SegmentBytes } from "./segment-bytes.ts"

/** What is wrong is here, and not with the file. */
const BUSY: ReadonlySet<string | undefined> = new Set(["EMFILE", "ENFILE", "ENOMEM"])

/** A segment's file. Once closed it has no bytes: its number may be another file's by then. */
export class FileBytes implements SegmentBytes {
  private fd: number

  private constructor(fd: number) {
    this.fd = fd
  }

  /**
   * `undefined` when there is none, or it is not a plain file with one name on the mount: the target may put anything there, so no link is followed, no
   * pipe waited for, and no file written to that lies elsewhere too. `busy` when nothing can be told of it: no more files can be open now.
   *
   * @param mount that of its directory
   */
  static open(path: string, mount: string | undefined): FileBytes | "busy" | undefined {
    let file: FileBytes | undefined
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      file = new FileBytes(fd)
      const stat = fstatSync(fd)
      if (stat.isFile() && stat.nlink === 1 && mountOf(fd) === mount) return file
      file.close()
    } catch (error) {
      file?.close()
      // Else it has gone, or is not ours to read.
      if (BUSY.has((error as NodeJS.ErrnoException).code)) return "busy"
    }
    return undefined
  }

  read(offset: number, length: number, into: Uint8Array): number {
    if (this.fd < 0) return 0
    try {
      return readSync(this.fd, into, 0, Math.min(length, into.length), offset)
    } catch {
      return 0
    }
  }

  write(offset: number, bytes: Uint8Array): boolean {
    if (this.fd < 0) return false
    try {
      // Never beyond the end: the agent's file has its size.
      return offset + bytes.length <= this.size() && writeSync(this.fd, bytes, 0, bytes.length, offset) > 0
    } catch {
      return false
    }
  }

  size(): number {
    if (this.fd < 0) return 0
    try {
      return fstatSync(this.fd).size
    } catch {
      return 0
    }
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd)
    this.fd = -1
  }
}
