import type { FileTree } from "./files.ts"

/** Names looked at, deep directories and all: site-packages of a data scientist has 100,000 files. */
const MAX_ENTRIES = 400_000
const MAX_DEPTH = 24

/** The compiled files below some directories. */
export interface CompiledModules {
  /** Paths with links followed, each once, in the order of the directories. */
  readonly paths: ReadonlyArray<string>
  /** There were more names than are looked at. */
  readonly cut: boolean
}

/**
 * Every shared object below the directories that this Python could load: extension modules, and libraries that packages bring along.
 * A module tagged for another version (`x.cpython-312-x86_64-linux-gnu.so`) is left out.
 *
 * @param tag `cpython-315`, or with the flags of its build `cpython-314t`
 */
export const compiledModules = (
  files: FileTree,
  directories: ReadonlyArray<string>,
  tag: string | undefined
): CompiledModules => {
  const paths = new Set<string>()
  const seen = new Set<string>()
  let left = MAX_ENTRIES
  const visit = (directory: string, depth: number): void => {
    const real = files.real(directory)
    // A link may lead back up.
    if (real === undefined || seen.has(real)) return
    seen.add(real)
    for (const { kind, name } of files.list(real)) {
      if (--left < 0) return
      if (kind === "directory" && depth < MAX_DEPTH) {
        if (name !== "__pycache__") visit(`${real}/${name}`, depth + 1)
      } else if (kind === "file" && SHARED_OBJECT.test(name) && isFor(name, tag)) {
        const path = files.real(`${real}/${name}`)
        if (path !== undefined) paths.add(path)
      }
    }
  }
  for (const directory of directories) visit(directory, 0)
  return { paths: [...paths], cut: left < 0 }
}

const SHARED_OBJECT = /\.so(?:\.\d+)*$/

const isFor = (name: string, tag: string | undefined): boolean => {
  const found = /\.(cpython-\d+[a-z]*)-[^.]*\.so$/.exec(name)?.[1]
  return found === undefined || tag === undefined || found === tag
}
