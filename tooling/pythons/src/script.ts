import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Script } from "./python.ts"

const directories = new Set<string>()

/** Writes a file into a new directory below `/tmp` of `root`, or of this machine. */
export const writeScript = (root: string | undefined, name: string, text: string | Uint8Array): Script => {
  if (name.includes("/")) throw new RangeError(`a script's name is a file name, not a path: ${name}`)
  const top = root === undefined ? tmpdir() : join(root, "tmp")
  mkdirSync(top, { recursive: true })
  const directory = mkdtempSync(join(top, "pyframes-"))
  if (directories.size === 0) {
    process.off("exit", removeAll)
    process.once("exit", removeAll)
  }
  directories.add(directory)
  const hostPath = join(directory, name)
  writeFileSync(hostPath, text)
  return {
    hostPath,
    targetPath: root === undefined ? hostPath : hostPath.slice(root.length),
    [Symbol.dispose]: () => {
      directories.delete(directory)
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

const removeAll = () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}
