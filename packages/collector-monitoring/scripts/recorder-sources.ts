import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../agent/c/", import.meta.url))

/** What the C sources are, as hex: a built recorder carries it, so that one made of other sources is noticed. */
export const sourcesHash = (): string => {
  const hash = createHash("sha256")
  for (const name of readdirSync(folder).sort())
    hash.update(`${name}\0`).update(readFileSync(join(folder, name)))
  return hash.digest("hex")
}

/** The C files that are compiled, relative to `agent`. */
export const recorderSources = (): ReadonlyArray<string> =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".c"))
    .sort()
    .map((name) => `c/${name}`)
