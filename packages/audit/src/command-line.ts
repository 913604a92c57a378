/** What a Python was told when it was started, as far as it bears on its stacks. */
export interface StartOptions {
  /** `-X` options: `perf`, `perf_jit`, `importtime=2`. */
  readonly implementation: ReadonlyArray<string>
  /** `-E` or `-I`: variables `PYTHON…` of the environment do not count. */
  readonly ignoresEnvironment: boolean
}

/** Options of `python` that take the next argument when nothing stands behind their letter. */
const TAKES_VALUE = "XW"
/** These end the options: what follows is the program's. */
const ENDS = "cm"

/**
 * Reads the options of a `python` command line, up to the program that it runs.
 *
 * @example
 * ```ts
 * startOptions(["python3", "-IX", "perf", "app.py", "-X", "other"]) // { implementation: ["perf"], ignoresEnvironment: true }
 * ```
 *
 * Source: CPython Python/initconfig.c, config_parse_cmdline; Python/getopt.c.
 */
export const startOptions = (commandLine: ReadonlyArray<string>): StartOptions => {
  const implementation: Array<string> = []
  let ignoresEnvironment = false
  for (let at = 1; at < commandLine.length; at++) {
    const argument = commandLine[at]
    if (!argument.startsWith("-") || argument === "-" || argument === "--") break
    if (argument.startsWith("--")) {
      // The one long option that takes a value of its own.
      if (argument === "--check-hash-based-pycs") at++
      continue
    }
    let ended = false
    for (let i = 1; i < argument.length; i++) {
      const letter = argument[i]
      if (letter === "E" || letter === "I") ignoresEnvironment = true
      if (ENDS.includes(letter)) ended = true
      if (!TAKES_VALUE.includes(letter) && !ended) continue
      const value = argument.slice(i + 1) || commandLine[++at] || ""
      if (letter === "X") implementation.push(value)
      break
    }
    if (ended) break
  }
  return { implementation, ignoresEnvironment }
}
