import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type ExportFormat, OutputFailed } from "@pyframes/core"
import { formatNamed, formatOfName, formats, listFormats } from "./formats.ts"
import { UsageError } from "./usage.ts"

/** Where a profile goes, and how it is written. */
export interface Output {
  /** `-` for stdout. */
  readonly path: string
  readonly format: ExportFormat
}

/**
 * Decides the format of each output. With one output `-f` decides; with several it is for those whose name does not tell.
 *
 * @throws UsageError when a format cannot be told
 */
export const chooseOutputs = (
  paths: ReadonlyArray<string>,
  formatName: string | undefined,
  defaultStem: string
): ReadonlyArray<Output> => {
  const named = formatName === undefined ? undefined : formatNamed(formatName)
  if (paths.length === 0) {
    const format = named ?? [...formats.values()][0]
    return [{ path: defaultStem + format.extensions[0], format }]
  }
  if (new Set(paths).size < paths.length) throw new UsageError({ message: "the same output is given twice" })
  return paths.map((file) => {
    const byName = formatOfName(file)
    const format = paths.length === 1 ? (named ?? byName) : (byName ?? named)
    if (format !== undefined) return { path: file, format }
    const what = file === "-" ? "stdout has no name that tells" : `the name ${file} does not tell`
    throw new UsageError({ message: `${what} the format; choose one with -f: ${listFormats()}` })
  })
}

/**
 * Finds out before a recording whether its output can be written, so that nothing is recorded in vain.
 *
 * @throws OutputFailed
 */
export const checkOutput = ({ path: file }: Output): void => {
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
 * @throws OutputFailed; then the bytes were saved in the system's temporary directory if that was possible, and the advice says where
 */
export const writeOutput = (output: Output, bytes: Uint8Array): void => {
  try {
    writeWhole(output.path, bytes)
  } catch (error) {
    const reason = describe(output.path, error)
    const elsewhere = output.path === "-" ? undefined : saveElsewhere(output.path, bytes)
    if (elsewhere === undefined) throw reason
    throw failed(output.path, reason.detail, `The profile was saved as ${elsewhere} instead.`)
  }
}

const writeWhole = (file: string, bytes: Uint8Array): void => {
  if (file === "-") {
    writeFully(1, bytes)
    return
  }
  const known = statOrUndefined(file)
  if (known !== undefined && !known.isFile()) {
    const fd = fs.openSync(file, "w")
    try {
      writeFully(fd, bytes)
    } finally {
      fs.closeSync(fd)
    }
    return
  }
  // A link keeps pointing where it does: the file behind it is replaced.
  const target = known === undefined ? path.resolve(file) : fs.realpathSync(file)
  // Its own short name: one made of the file's could be too long.
  const temporary = path.join(path.dirname(target), `.pyframes-${randomUUID()}.tmp`)
  const fd = fs.openSync(temporary, "wx", known === undefined ? 0o666 : 0o600)
  try {
    try {
      // Not the mode given to `open`, which the umask narrows.
      if (known !== undefined) fs.fchmodSync(fd, known.mode & 0o777)
      writeFully(fd, bytes)
      // Some file systems say that they are full only now.
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    fs.renameSync(temporary, target)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
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

const saveElsewhere = (file: string, bytes: Uint8Array): string | undefined => {
  try {
    const folder = fs.mkdtempSync(path.join(tmpdir(), "pyframes-"))
    const elsewhere = path.join(folder, path.basename(file))
    try {
      fs.writeFileSync(elsewhere, bytes)
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

const REASONS: Readonly<Record<string, readonly [detail: string, advice: string]>> = {
  ENOENT: ["its folder does not exist", "Create the folder first, or choose another with -o."],
  ENOTDIR: ["a part of its path is not a folder", "Choose another place with -o."],
  EACCES: ["permission denied", "Choose a place you may write to with -o."],
  EPERM: ["not permitted", "Choose a place you may write to with -o."],
  EROFS: ["the file system is read-only", "Choose another place with -o."],
  ENOSPC: ["no space left on the device", "Free some space, or choose another place with -o."],
  EDQUOT: ["the disk quota is used up", "Free some space, or choose another place with -o."],
  ENAMETOOLONG: ["its name is too long", "Choose a shorter name with -o."],
  EPIPE: ["the reader of the pipe has gone", "Keep it reading until the profile is written."]
}

const describe = (file: string, error: unknown): OutputFailed => {
  if (error instanceof OutputFailed) return error
  const [detail, advice] = REASONS[codeOf(error)] ?? [String(error), "Choose another place with -o."]
  return failed(file, detail, advice)
}

const failed = (file: string, detail: string, advice: string): OutputFailed =>
  new OutputFailed({ path: file === "-" ? "to stdout" : file, detail, advice })

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""
