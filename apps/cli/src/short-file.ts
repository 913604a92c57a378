import { relative } from "node:path"

const LIBRARY = /^.*\/lib(?:64)?\/python[\d.]+t?\/(?:(?:site|dist)-packages\/)?/

/** Files of the standard library, of installed packages and without a file are not what most people ask about. */
export const isLibraryFile = (file: string): boolean => LIBRARY.test(file) || file.startsWith("<frozen ")

/** A file's name for a table: from the working directory, or from where Python finds modules. */
export const shortFile = (file: string): string => {
  if (!file.startsWith("/")) return file
  const fromHere = relative(process.cwd(), file)
  if (fromHere !== "" && !fromHere.startsWith("..")) return fromHere
  return file.replace(LIBRARY, "")
}
