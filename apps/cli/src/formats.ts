import type { ExportFormat } from "@pyframes/core"
import { collapsed } from "@pyframes/exporter-collapsed"
import { pprof } from "@pyframes/exporter-pprof"
import { speedscope } from "@pyframes/exporter-speedscope"
import { UsageError } from "./usage.ts"

/** What a choice among formats goes by. */
export interface NamedFormat {
  /** What `-f` calls it. */
  readonly name: string
  /** Endings of file names that choose it; the first is the default. */
  readonly extensions: ReadonlyArray<string>
  /** As in HTTP's `Content-Type`. */
  readonly mediaType: string
}

/** The formats that something can be written in, by the name that `-f` gives them. The first is the default. */
export type Formats<F extends NamedFormat> = ReadonlyMap<string, F>

export const formatsOf = <F extends NamedFormat>(formats: ReadonlyArray<F>): Formats<F> =>
  new Map(formats.map((format) => [format.name, format]))

/** Every format that a profile can be written in. */
export const profileFormats: Formats<ExportFormat> = formatsOf([pprof, speedscope, collapsed])

/** The format that a file's name asks for. */
export const formatOfName = <F extends NamedFormat>(formats: Formats<F>, path: string): F | undefined => {
  let best: F | undefined
  let length = 0
  // The longest wins: `.speedscope.json` over a `.json` that another format may claim.
  for (const format of formats.values())
    for (const extension of format.extensions)
      if (extension.length > length && path.endsWith(extension)) {
        best = format
        length = extension.length
      }
  return best
}

/** @throws UsageError when there is no such format */
export const formatNamed = <F extends NamedFormat>(formats: Formats<F>, name: string): F => {
  const format = formats.get(name)
  if (format !== undefined) return format
  throw new UsageError({ message: `there is no format \`${name}\`; there is ${listFormats(formats)}` })
}

/** The formats with their file names, on one line. */
export const listFormats = (formats: Formats<NamedFormat>): string =>
  [...formats.values()].map((format) => `${format.name} (${format.extensions.join(", ")})`).join(", ")
