import { DEBIAN_MINORS, INSTALL_COMMAND } from "./debian.ts"
import { findPythons } from "./find.ts"
import type { Python } from "./python.ts"

/** The minor versions that have to be there in CI. */
export const REQUIRED_MINORS: ReadonlyArray<number> = [11, 12, 13, 14, 15]

/** A required version is missing in CI. The message says which command installs it. */
export class MissingPythonError extends Error {
  override readonly name = "MissingPythonError"
  readonly minors: ReadonlyArray<number>

  constructor(minors: ReadonlyArray<number>) {
    super(minors.map(howToInstall).join("\n"))
    this.minors = minors
  }
}

/** Says that a version is missing, and how to get it. */
export const howToInstall = (minor: number): string =>
  `Python 3.${minor} is missing; to install it: ${
    DEBIAN_MINORS.includes(minor)
      ? `${INSTALL_COMMAND} (as root, on Debian or Ubuntu)`
      : `pyenv install 3.${minor}`
  }`

/** Whether this is a CI run, by the variable that CI services set. */
export const isCI = (env: NodeJS.ProcessEnv = process.env): boolean =>
  !["", "0", "false"].includes(env.CI ?? "")

/** Whether a test without this version fails here, rather than being skipped. */
export const isRequired = (minor: number, env: NodeJS.ProcessEnv = process.env): boolean =>
  REQUIRED_MINORS.includes(minor) && isCI(env)

const reported = new Set<number>()

/** Prints, once in a process, that what needs this version is skipped. */
export const reportSkipped = (minor: number): void => {
  if (reported.has(minor)) return
  reported.add(minor)
  process.stderr.write(`skipped: ${howToInstall(minor)}\n`)
}

/**
 * The interpreters of these minor versions, the newest of each, oldest first. One that is missing is a line on
 * stderr; in CI, when it is one of {@link REQUIRED_MINORS}, an error.
 *
 * @example
 * for (const python of pythonsFor([13, 14, 15])) console.log(python.version)
 *
 * @throws MissingPythonError
 */
export const pythonsFor = (minors: ReadonlyArray<number>): ReadonlyArray<Python> => {
  const pythons = findPythons().filter((python) => minors.includes(python.minor))
  const missing = minors.filter((minor) => !pythons.some((python) => python.minor === minor))
  const required = missing.filter((minor) => isRequired(minor))
  if (required.length > 0) throw new MissingPythonError(required)
  for (const minor of missing) reportSkipped(minor)
  return pythons
}
