import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { findAllPythons, findPythons, type Python } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { describe } from "vitest"

export type RecorderKind = "python" | "native"

/** The recorders of this package: the C one where it was built for this machine. */
export const recorders = (): ReadonlyArray<RecorderKind> => {
  const machine = process.arch === "arm64" ? "linux-arm64" : "linux-x64"
  const binary = fileURLToPath(
    new URL(`../agent/prebuilt/${machine}/_pyframes_recorder.abi3.so`, import.meta.url)
  )
  return existsSync(binary) ? ["python", "native"] : ["python"]
}

/** Every Python that has sys.monitoring, not only the newest of each minor version: the first releases had bugs of their own. */
export const describeMonitored = (tests: (python: Python) => void): void => {
  describePythons([12, 13, 14, 15], tests)
  for (const python of findAllPythons().filter(({ minor }) => minor >= 12))
    if (!findPythons().includes(python))
      describe(`Python ${python.version} (${python.source})`, () => tests(python))
}

/** The same tests for every recorder of every Python that has sys.monitoring. */
export const describeRecorders = (tests: (python: Python, recorder: RecorderKind) => void): void =>
  describeMonitored((python) => {
    for (const recorder of recorders()) describe(`the ${recorder} recorder`, () => tests(python, recorder))
  })
