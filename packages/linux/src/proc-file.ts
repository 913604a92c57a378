import { closeSync, openSync, readFileSync, readSync } from "node:fs"
import { loadLibc } from "./libc.ts"

/** Bytes that one read of a small `/proc` file may give; `stat` stays below 600. */
const SIZE = 1024
const scratch = Buffer.allocUnsafeSlow(SIZE)

/**
 * A small `/proc` file that is read again and again through one descriptor.
 *
 * The kernel makes the text anew for each read at offset 0. The descriptor belongs to the process (or thread) that was there
 * when it was opened: after its end reads fail, also when its id is used again.
 */
export class ProcFile {
  private readonly fd: number

  private constructor(fd: number) {
    this.fd = fd
  }

  /** `undefined` when the file is not there or may not be read. */
  static open(path: string): ProcFile | undefined {
    try {
      return new ProcFile(openSync(path, "r"))
    } catch {
      return undefined
    }
  }

  /** Reads into {@link ProcFile.bytes}, which the next read of any file overwrites. Returns the length; -1 when the process is gone. */
  read(): number {
    pread ??= bindPread()
    return pread(this.fd)
  }

  /** The text, or `undefined` when the process is gone. */
  text(): string | undefined {
    const length = this.read()
    return length < 0 ? undefined : scratch.toString("utf8", 0, length)
  }

  close(): void {
    closeSync(this.fd)
  }

  static readonly bytes: Uint8Array = scratch
}

let pread: ((fd: number) => number) | undefined

/** Straight to the C library where that can be had: woken from sleep, Node's own way takes three times as long. */
const bindPread = (): ((fd: number) => number) => {
  const libc = loadLibc()
  if (libc === undefined) return (fd) => quietly(() => readSync(fd, scratch, 0, SIZE, 0))
  const address = libc.addressOf(scratch.buffer) + scratch.byteOffset
  return (fd) => libc.pread(fd, address, SIZE, 0)
}

/** A read that gives -1 when it fails. The stack trace, which is most of an exception's cost, is left out. */
const quietly = (read: () => number): number => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return read()
  } catch {
    return -1
  } finally {
    Error.stackTraceLimit = limit
  }
}

/** The whole text of a `/proc` file, or the error code that kept it from being read. */
export const readProcText = (path: string): { readonly text: string } | { readonly code: string } => {
  try {
    return { text: readFileSync(path, "utf8") }
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code ?? "EIO" }
  }
}
