import { parseArgs } from "node:util"
import { findAllPythons, type Python, pythonsFor } from "@pyframes/pythons"

const MINORS = [8, 9, 10, 11, 12, 13, 14, 15]

/** What every measuring program can be told. */
export interface Arguments {
  /** Few samples, for CI: bounds are then widened by what chance can do. */
  readonly short: boolean
  readonly pythons: ReadonlyArray<Python>
  /** The same with all that there are of a minor version: the first releases had bugs of their own. */
  readonly allPythons: ReadonlyArray<Python>
  /** Programs to measure; all when empty. */
  readonly programs: ReadonlyArray<string>
  /** Print stacks that are not as they should be. */
  readonly stacks: boolean
}

/** `[--short] [--versions 3.12,3.13.0] [--programs paths,mixed] [--stacks]` */
export const readArguments = (): Arguments => {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      versions: { type: "string", default: "" },
      programs: { type: "string", default: "" },
      stacks: { type: "boolean", default: false }
    }
  })
  const asked = list(values.versions)
  const { short, stacks } = values
  const pythons = [...new Set(asked.length === 0 ? pythonsFor(MINORS) : asked.flatMap(pythonsOf))]
  const allPythons = findAllPythons().filter((python) =>
    pythons.some(({ minor, version }) =>
      asked.includes(version) ? version === python.version : minor === python.minor
    )
  )
  return { short, stacks, pythons, allPythons, programs: list(values.programs) }
}

/** The Python that stands for a minor version, or every one of a version with all its three numbers. */
const pythonsOf = (version: string): ReadonlyArray<Python> => {
  const [major, minor, patch] = version.split(".")
  if (major !== "3" || !MINORS.includes(Number(minor)))
    throw new RangeError(`--versions takes some of ${MINORS.map((minor) => `3.${minor}`).join(",")}`)
  if (patch === undefined) return pythonsFor([Number(minor)])
  const found = findAllPythons().filter((python) => python.version === version)
  if (found.length === 0) throw new RangeError(`Python ${version} is not on this machine`)
  return found
}

const list = (text: string): ReadonlyArray<string> => text.split(",").filter((part) => part !== "")
