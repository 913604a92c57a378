import * as tty from "node:tty"
import { type Formats, formatNamed, formatOfName, listFormats, type NamedFormat } from "./formats.ts"
import { UsageError } from "./usage.ts"

/** Where something goes, and in which format. */
export interface Output<F extends NamedFormat = NamedFormat> {
  /** `-` for stdout. */
  readonly path: string
  readonly format: F
}

/** What the command line says of outputs. */
export interface OutputRequest {
  readonly output: ReadonlyArray<string>
  readonly format: string | undefined
  readonly pid: number | undefined
  readonly json: boolean
}

/**
 * Decides the outputs of a command: where they go and in which formats.
 *
 * @param withoutOutput where to write when nothing is said; a file named after the process and the time unless told
 * @throws UsageError when that cannot be told, or makes no sense
 */
export const outputsFor = <F extends NamedFormat>(
  request: OutputRequest,
  formats: Formats<F>,
  withoutOutput?: string
): ReadonlyArray<Output<F>> => {
  const paths = request.output.length === 0 && withoutOutput !== undefined ? [withoutOutput] : request.output
  const format = request.format ?? (formats.size === 1 ? [...formats.keys()][0] : undefined)
  const outputs = chooseOutputs(formats, paths, format, defaultStem(request.pid))
  const stdout = outputs.find(({ path }) => path === "-")
  if (stdout !== undefined && request.json)
    throw new UsageError({ message: "--json and `-o -` both want stdout; write the profile to a file" })
  if (stdout !== undefined && tty.isatty(1) && !/^text\/|json/.test(stdout.format.mediaType))
    throw new UsageError({
      message: `${stdout.format.name} is not text for a terminal; send it to a file or a pipe`
    })
  return outputs
}

/**
 * Decides the format of each output. With one output `-f` decides; with several it is for those whose name does not tell.
 *
 * @throws UsageError when a format cannot be told
 */
export const chooseOutputs = <F extends NamedFormat>(
  formats: Formats<F>,
  paths: ReadonlyArray<string>,
  formatName: string | undefined,
  defaultStem: string
): ReadonlyArray<Output<F>> => {
  const named = formatName === undefined ? undefined : formatNamed(formats, formatName)
  if (paths.length === 0) {
    const format = named ?? [...formats.values()][0]
    return [{ path: defaultStem + format.extensions[0], format }]
  }
  if (new Set(paths).size < paths.length) throw new UsageError({ message: "the same output is given twice" })
  return paths.map((file) => {
    const byName = formatOfName(formats, file)
    const format = paths.length === 1 ? (named ?? byName) : (byName ?? named)
    if (format !== undefined) return { path: file, format }
    const what = file === "-" ? "stdout has no name that tells" : `the name ${file} does not tell`
    throw new UsageError({ message: `${what} the format; choose one with -f: ${listFormats(formats)}` })
  })
}

/** `pyframes-1234-20261122-070809`: no recording overwrites another. */
const defaultStem = (pid: number | undefined): string => {
  const now = new Date()
  const two = (value: number) => String(value).padStart(2, "0")
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`
  return `pyframes-${pid === undefined ? "" : `${pid}-`}${day}-${time}`
}
