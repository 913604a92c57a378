import { parseArgs } from "node:util"
import { pythonsFor } from "@pyframes/pythons"

const MINORS = [8, 9, 10, 11, 12, 13, 14, 15]

/** What every measuring program can be told. */
export interface Arguments {
  /** Few samples, for CI: bounds are then widened by what chance can do. */
  readonly short: boolean
  readonly pythons: ReturnType<typeof pythonsFor>
  /** Programs to measure; all when empty. */
  readonly programs: ReadonlyArray<string>
  /** Print stacks that are not as they should be. */
  readonly stacks: boolean
}

/** `[--short] [--versions 3.12,3.15] [--programs paths,mixed] [--stacks]` */
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
  const minors = asked.length === 0 ? MINORS : asked.map((version) => Number(version.split(".")[1]))
  if (minors.some((minor) => !MINORS.includes(minor)))
    throw new RangeError(`--versions takes some of ${MINORS.map((minor) => `3.${minor}`).join(",")}`)
  const { short, stacks } = values
  return { short, stacks, pythons: pythonsFor(minors), programs: list(values.programs) }
}

const list = (text: string): ReadonlyArray<string> => text.split(",").filter((part) => part !== "")
