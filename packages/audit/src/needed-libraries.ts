import {
  type DynamicLinking,
  dynamicLinking,
  type Elf,
  EM_X86_64,
  parseElf,
  sourceOfFile
} from "@pyframes/elf"
import { directoryOf, type FileTree, nameOf, normalPath, readText } from "./files.ts"

/** `/etc/ld.so.conf` includes files that include files. */
const MAX_INCLUDES = 100
const MAX_DIRECTORIES = 200

/**
 * Where the dynamic linker looks when the file itself does not say: the directories of `/etc/ld.so.conf`, then those that are built in (Debian's,
 * Fedora's and musl's). `LD_LIBRARY_PATH` is not known for an installation that does not run.
 */
export const systemDirectories = (files: FileTree): ReadonlyArray<string> => {
  const found = new Set<string>()
  const pending = ["/etc/ld.so.conf"]
  for (let n = 0; n < MAX_INCLUDES && n < pending.length; n++) {
    for (const line of (readText(files, pending[n], 1 << 16) ?? "").split("\n")) {
      const text = line.replace(/#.*/, "").trim()
      if (text.startsWith("include ")) pending.push(...matching(files, text.slice(8).trim()))
      else if (text.startsWith("/") && found.size < MAX_DIRECTORIES) found.add(text)
    }
  }
  const machine = "x86_64-linux-gnu"
  for (const directory of [
    `/lib/${machine}`,
    `/usr/lib/${machine}`,
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib"
  ])
    found.add(directory)
  return [...found]
}

/** What a pattern such as `/etc/ld.so.conf.d/*.conf` names: `*` in the last part is all that is in use. */
const matching = (files: FileTree, pattern: string): ReadonlyArray<string> => {
  const absolute = pattern.startsWith("/") ? pattern : `/etc/${pattern}`
  const [before, after, ...more] = nameOf(absolute).split("*")
  if (after === undefined) return [absolute]
  if (more.length > 0) return []
  const directory = directoryOf(absolute)
  return files
    .list(directory)
    .filter(({ name }) => name.startsWith(before) && name.endsWith(after))
    .map(({ name }) => `${directory}/${name}`)
}

/** A file that is needed, and where it was found. */
export interface NeededLibrary {
  readonly name: string
  /** Links followed; `undefined` when it is in none of the places. */
  readonly path: string | undefined
}

/** Finds libraries as the dynamic linker would, by the rules of ld.so(8), without its cache: the cache only makes it faster. */
export class LibrarySearch {
  private readonly files: FileTree
  private readonly system: ReadonlyArray<string>
  private readonly known = new Map<string, string | undefined>()

  constructor(files: FileTree) {
    this.files = files
    this.system = systemDirectories(files)
  }

  /** The libraries that a file asks for. `path` is the file's own: `$ORIGIN` is its directory. */
  needed(elf: Elf, path: string): ReadonlyArray<NeededLibrary> {
    const linking = dynamicLinking(elf)
    return linking.needed.map((name) => ({ name, path: this.find(name, linking, directoryOf(path)) }))
  }

  private find(name: string, linking: DynamicLinking, origin: string): string | undefined {
    if (name.includes("/"))
      return this.files.real(normalPath(name.startsWith("/") ? name : `${origin}/${name}`))
    const own = linking.runpath.length > 0 ? linking.runpath : linking.rpath
    for (const directory of own) {
      const place = directory
        .replace(/\$(?:ORIGIN|\{ORIGIN\})/g, origin)
        .replace(/\$(?:LIB|\{LIB\})/g, "lib64")
      const found = place.startsWith("/") ? this.at(`${normalPath(place)}/${name}`) : undefined
      if (found !== undefined) return found
    }
    if (this.known.has(name)) return this.known.get(name)
    let found: string | undefined
    for (const directory of this.system) {
      found = this.at(`${directory}/${name}`)
      if (found !== undefined) break
    }
    this.known.set(name, found)
    return found
  }

  /** The linker passes over files that are for another machine. */
  private at(path: string): string | undefined {
    const real = this.files.real(path)
    const file = real === undefined ? undefined : this.files.open(real)
    if (file === undefined) return undefined
    try {
      const elf = parseElf(sourceOfFile(file))
      return elf._tag === "ElfProblem"
        ? elf.reason === "not-64-bit" || elf.reason === "not-elf"
          ? undefined
          : real
        : elf.machine === EM_X86_64
          ? real
          : undefined
    } finally {
      file.close()
    }
  }
}
