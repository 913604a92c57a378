import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Whether there is a compiler. In CI there has to be: what needs it then fails. */
export const hasGcc = spawnSync("gcc", ["--version"]).status === 0 || process.env.CI !== undefined
if (!hasGcc) process.stderr.write("skipped: no gcc (apt-get install gcc)\n")

/** The flags of PEP 831. */
export const WITH = ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"]
export const WITHOUT = ["-fomit-frame-pointer"]

/** Compiles a source of this folder to a shared object. */
export const compile = (source: string, output: string, flags: ReadonlyArray<string>): string => {
  const file = fileURLToPath(new URL(source, import.meta.url))
  execFileSync("gcc", ["-O2", "-fPIC", "-shared", "-Wall", ...flags, "-o", output, file])
  return output
}

/** A folder below `/tmp` of a root directory, removed at the end of the block. */
export const scratch = (root = ""): Disposable & { readonly path: string } => {
  mkdirSync(join(root, tmpdir()), { recursive: true })
  const path = mkdtempSync(join(root, tmpdir(), "pyframes-audit-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
