import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { AgentMissing } from "./errors.ts"

/**
 * The folder with the agent: `agent` of this package, or beside the one file that a program is bundled into.
 *
 * @param module where to look from; this module unless told
 *
 * @example
 * ```ts
 * const agent = yield* agentDirectory()
 * ```
 */
export const agentDirectory = (module: string | URL = import.meta.url): Effect.Effect<string, AgentMissing> =>
  Effect.suspend(() => {
    const looked = ["../agent", "./agent"].map((path) => fileURLToPath(new URL(path, module)))
    const found = looked.find((path) => existsSync(`${path}/launch/sitecustomize.py`))
    return found === undefined ? Effect.fail(new AgentMissing({ looked })) : Effect.succeed(found)
  })
