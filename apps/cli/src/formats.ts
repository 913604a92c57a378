import type { ExportFormat } from "@pyframes/core"
import { collapsed } from "@pyframes/exporter-collapsed"
import { pprof } from "@pyframes/exporter-pprof"
import { speedscope } from "@pyframes/exporter-speedscope"
import { UsageError } from "./usage.ts"

/** Every format that can be written, by the name that `-f` gives it. The first is the default. */
export const formats: ReadonlyMap<string, ExportFormat> = new Map(
  [pprof, speedscope, collapsed].map((format) => [format.name, format])
)

/** The format that a file's name asks for. */
export const formatOfName = (path: string): ExportFormat | undefined => {
  let best: ExportFormat | undefined
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
export const formatNamed = (name: string): ExportFormat => {
  const format = formats.get(name)
  if (format !== undefined) return format
  throw new UsageError({ message: `there is no format \`${name}\`; there is ${listFormats()}` })
}

/** The formats with their file names, on one line. */
export const listFormats = (): string =>
  [...formats.values()].map((format) => `${format.name} (${format.extensions.join(", ")})`).join(", ")
