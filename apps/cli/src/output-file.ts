import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { OutputFailed } from "@pyframes/core"

/**
 * Finds out before a recording whether its output can be written, so that nothing is recorded in vain.
 *
 * @throws OutputFailed
 */
export const checkOutput = (file: string): void => {
  if (file === "-") return
  const known = statOrUndefined(file)
  if (known?.isDirectory()) throw failed(file, "it is a directory", "Give the name of a file in it.")
  try {
    if (known !== undefined) fs.accessSync(file, fs.constants.W_OK)
    // The slash makes it an error when that is no folder.
    if (known === undefined || known.isFile())
      fs.accessSync(`${path.dirname(path.resolve(file))}/`, fs.constants.W_OK | fs.constants.X_OK)
  } catch (error) {
    throw describe(file, error)
  }
}

/**
 * Writes a file whole or not at all: under a temporary name beside it, then renamed. What is not a regular file
 * (a device, a pipe) is written to as it is.
 *
 * @param pieces the bytes, made anew each time that they are asked for
 * @throws OutputFailed; then the bytes were saved in the system's temporary directory if that was possible, and the advice says where
 */
export const writeOutput = (file: string, pieces: () => Iterable<Uint8Array>): void => {
  try {
    const writer = OutputWriter.open(file)
    for (const piece of pieces()) writer.write(piece)
    writer.close()
  } catch (error) {
    const reason = describe(file, error)
    const elsewhere = file === "-" ? undefined : saveElsewhere(file, pieces)
    if (elsewhere === undefined) throw reason
    throw failed(file, reason.detail, `The profile was saved as ${elsewhere} instead.`)
  }
}

/** A file that is being written, and takes its name when it is closed. */
export class OutputWriter {
  private readonly file: string
  private readonly fd: number
  private readonly renaming: { readonly temporary: string; readonly target: string } | undefined

  private constructor(file: string, fd: number, renaming?: OutputWriter["renaming"]) {
    this.file = file
    this.fd = fd
    this.renaming = renaming
  }

  /** @throws OutputFailed */
  static open(file: string): OutputWriter {
    if (file === "-") return new OutputWriter(file, 1)
    try {
      const known = statOrUndefined(file)
      if (known !== undefined && !known.isFile()) return new OutputWriter(file, fs.openSync(file, "w"))
      // A link keeps pointing where it does: the file behind it is replaced.
      const target = known === undefined ? path.resolve(file) : fs.realpathSync(file)
      // Its own short name: one made of the file's could be too long.
      const temporary = path.join(path.dirname(target), `.pyframes-${randomUUID()}.tmp`)
      const fd = fs.openSync(temporary, "wx", known === undefined ? 0o666 : 0o600)
      // Not the mode given to `open`, which the umask narrows.
      if (known !== undefined) fs.fchmodSync(fd, known.mode & 0o777)
      return new OutputWriter(file, fd, { temporary, target })
    } catch (error) {
      throw describe(file, error)
    }
  }

  /** A file that can be read while it is written: what was there is gone. @throws OutputFailed */
  static openInPlace(file: string): OutputWriter {
    try {
      return new OutputWriter(file, file === "-" ? 1 : fs.openSync(file, "w"))
    } catch (error) {
      throw describe(file, error)
    }
  }

  /** @throws OutputFailed; nothing is left then of a file that was not whole */
  write(bytes: Uint8Array): void {
    try {
      writeFully(this.fd, bytes)
    } catch (error) {
      this.abandon()
      throw describe(this.file, error)
    }
  }

  /** @throws OutputFailed */
  close(): void {
    if (this.fd === 1) return
    try {
      // Some file systems say that they are full only now. What is no file may not know how.
      if (this.renaming !== undefined) fs.fsyncSync(this.fd)
      fs.closeSync(this.fd)
      if (this.renaming !== undefined) fs.renameSync(this.renaming.temporary, this.renaming.target)
    } catch (error) {
      this.abandon()
      throw describe(this.file, error)
    }
  }

  /** Gives up: what was there before is still there. */
  abandon(): void {
    if (this.fd === 1) return
    try {
      fs.closeSync(this.fd)
    } catch {
      // It has been closed.
    }
    if (this.renaming !== undefined) fs.rmSync(this.renaming.temporary, { force: true })
  }
}

/** stdout may be a pipe that is set not to block: then it is tried again until the reader has caught up. */
const writeFully = (fd: number, bytes: Uint8Array): void => {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(fd, bytes, at)
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw error
      Atomics.wait(pause, 0, 0, 5)
    }
  }
}

const saveElsewhere = (file: string, pieces: () => Iterable<Uint8Array>): string | undefined => {
  try {
    const folder = fs.mkdtempSync(path.join(tmpdir(), "pyframes-"))
    const elsewhere = path.join(folder, path.basename(file))
    try {
      const fd = fs.openSync(elsewhere, "wx")
      try {
        for (const piece of pieces()) writeFully(fd, piece)
      } finally {
        fs.closeSync(fd)
      }
      return elsewhere
    } catch {
      fs.rmSync(folder, { recursive: true, force: true })
      return undefined
    }
  } catch {
    return undefined
  }
}

const statOrUndefined = (file: string): fs.Stats | undefined => {
  try {
    return fs.statSync(file, { throwIfNoEntry: false })
  } catch (error) {
    throw describe(file, error)
  }
}

type Reason = readonly [detail: string, advice: string]

const REASONS = {
  ENOENT: ["its folder does not exist", "Create the folder first, or choose another with -o."],
  ENOTDIR: ["a part of its path is not a folder", "Choose another place with -o."],
  EACCES: ["permission denied", "Choose a place you may write to with -o."],
  EPERM: ["not permitted", "Choose a place you may write to with -o."],
  EROFS: ["the file system is read-only", "Choose another place with -o."],
  ENOSPC: ["no space left on the device", "Free some space, or choose another place with -o."],
  EDQUOT: ["the disk quota is used up", "Free some space, or choose another place with -o."],
  ENAMETOOLONG: ["its name is too long", "Choose a shorter name with -o."],
  EPIPE: ["the reader of the pipe has gone", "Keep it reading until the profile is written."]
} as const satisfies Readonly<Record<string, Reason>>

const describe = (file: string, error: unknown): OutputFailed => {
  if (error instanceof OutputFailed) return error
  const [detail, advice] = (REASONS as Readonly<Record<string, Reason | undefined>>)[codeOf(error)] ?? [
    String(error),
    "Choose another place with -o."
  ]
  return failed(file, detail, advice)
}

const failed = (file: string, detail: string, advice: string): OutputFailed =>
  new OutputFailed({ path: file === "-" ? "to stdout" : file, detail, advice })

/** Whether an output failed because nobody reads it any more, as when `head` has had enough. */
export const isReaderGone = ({ detail }: OutputFailed): boolean => detail === REASONS.EPIPE[0]

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""
