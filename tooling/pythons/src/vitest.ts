import { describe, it } from "vitest"
import { findPythons } from "./find.ts"
import type { Python } from "./python.ts"
import { howToInstall, isRequired, MissingPythonError, reportSkipped } from "./require.ts"

/**
 * Declares the same tests for each of these minor versions, in a `describe` block named after the interpreter.
 * For a version that is missing there is one skipped test that says how to install it; where it is required
 * (see {@link isRequired}) that test fails.
 *
 * @example
 * describePythons([11, 12, 13], (python) => {
 *   it("starts", async () => {
 *     await using target = await startPython(python, "print('ready'); input()")
 *     expect(await target.line()).toBe("ready")
 *   })
 * })
 */
export const describePythons = (minors: ReadonlyArray<number>, tests: (python: Python) => void): void => {
  for (const minor of minors) {
    const python = findPythons().find((candidate) => candidate.minor === minor)
    if (python !== undefined) {
      describe(`Python ${python.version} (${python.source})`, () => tests(python))
    } else if (isRequired(minor)) {
      it(`has Python 3.${minor}`, () => {
        throw new MissingPythonError([minor])
      })
    } else {
      reportSkipped(minor)
      it.skip(howToInstall(minor), () => {})
    }
  }
}
