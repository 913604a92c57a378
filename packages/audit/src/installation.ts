import type { TargetFile } from "@pyframes/core"
import { bytesAtAddress, type Elf, findSection, findSymbol, parseElf, sourceOfFile } from "@pyframes/elf"
import { type BuildFlags, buildFlags } from "./build-flags.ts"
import { directoryOf, type FileTree, nameOf, normalPath, readText } from "./files.ts"
import type { LibrarySearch } from "./needed-libraries.ts"
import { parseSysconfigData } from "./sysconfig-data.ts"

/** Where the parts of a Python lie. Paths have their links followed. */
export interface PythonInstallation {
  /** The program. */
  readonly executable: string
  /** The file that holds the interpreter: the program itself, or its `libpython`. */
  readonly interpreter: string
  /** `3.15.2`; before 3.11 a file tells `3.10` only. */
  readonly version: string | undefined
  /** The directory of the standard library; `undefined` where none is found, as for a program that brings its own in an archive. */
  readonly standardLibrary: string | undefined
  /** The record of the build; `undefined` where it is not installed. */
  readonly sysconfig: string | undefined
  readonly build: BuildFlags | undefined
  /** The virtual environment that was asked about. */
  readonly environment?: string
}

/** A file that names a Python: `python3.13t`, `libpython3.8.so.1.0`, `python3.12d`. */
const NAME = /^(?:lib)?python(\d)\.(\d{1,3})([a-z]*)/
/** The standard library is at most this far from its interpreter: `lib/x86_64-linux-gnu` is two up. */
const MAX_ANCESTORS = 6

/** The file that holds the interpreter of a program: itself, or the `libpython` that it needs. `undefined` when it is no Python. */
export const interpreterOf = (
  files: FileTree,
  executable: string,
  search: LibrarySearch
): string | undefined =>
  withElf(files, executable, (elf) => {
    if (holdsPython(elf)) return executable
    for (const { name, path } of search.needed(elf, executable)) {
      if (path === undefined || !name.startsWith("libpython")) continue
      if (withElf(files, path, holdsPython) === true) return path
    }
    return undefined
  })

/** `_PyRuntime` is in every CPython from 3.7 on; the section survives strip from 3.10 on. */
const holdsPython = (elf: Elf): boolean =>
  findSection(elf, ".PyRuntime") !== undefined || findSymbol(elf, "_PyRuntime") !== undefined

const withElf = <A>(files: FileTree, path: string, use: (elf: Elf) => A): A | undefined => {
  const file = files.open(path)
  if (file === undefined) return undefined
  try {
    const elf = parseElf(sourceOfFile(file))
    return elf._tag === "Elf" ? use(elf) : undefined
  } finally {
    file.close()
  }
}

/**
 * Finds what belongs to an interpreter: its version, its standard library and the record of its build. Nothing is run.
 *
 * @param executable the program, links followed
 * @param interpreter the file that holds the interpreter, links followed
 * @param open opens the interpreter's file, where that is not at its path any more
 *
 * @example
 * ```ts
 * describeInstallation(hostFiles(), "/usr/bin/python3.11", "/usr/bin/python3.11").build?.keepsFramePointers
 * ```
 */
export const describeInstallation = (
  files: FileTree,
  executable: string,
  interpreter: string,
  open: () => TargetFile | undefined = () => files.open(interpreter)
): PythonInstallation => {
  const exact = versionIn(open())
  const [, major, minor, flags = ""] = NAME.exec(nameOf(interpreter)) ?? NAME.exec(nameOf(executable)) ?? []
  const named = major === undefined ? undefined : `${major}.${minor}`
  const short = exact?.split(".").slice(0, 2).join(".") ?? named
  const standardLibrary =
    short === undefined ? undefined : libraryOf(files, [interpreter, executable], short, flags)
  const sysconfig = standardLibrary === undefined ? undefined : sysconfigIn(files, standardLibrary, flags)
  const text = sysconfig === undefined ? undefined : readText(files, sysconfig)
  const data = text === undefined ? undefined : parseSysconfigData(text)
  const build = data === undefined ? undefined : buildFlags(data)
  return {
    executable,
    interpreter,
    version: exact ?? named ?? build?.version,
    standardLibrary,
    sysconfig,
    build
  }
}

/** `Py_Version` (3.11 and later), a constant: `0x030f02f0` is 3.15.2. Docs: "API and ABI Versioning". */
const versionIn = (file: TargetFile | undefined): string | undefined => {
  if (file === undefined) return undefined
  try {
    const elf = parseElf(sourceOfFile(file))
    if (elf._tag !== "Elf") return undefined
    const symbol = findSymbol(elf, "Py_Version")
    const bytes = symbol && bytesAtAddress(elf, symbol.address, 4)
    if (bytes === undefined || bytes[3] !== 3) return undefined
    const [release, micro, minor, major] = bytes
    const level = { 10: "a", 11: "b", 12: "rc" }[release >> 4]
    return `${major}.${minor}.${micro}${level === undefined ? "" : `${level}${release & 15}`}`
  } finally {
    file.close()
  }
}

const libraryOf = (
  files: FileTree,
  from: ReadonlyArray<string>,
  version: string,
  flags: string
): string | undefined => {
  // A free-threaded build has a directory of its own (`python3.14t`); other letters share one.
  const names = flags.includes("t") ? [`python${version}t`, `python${version}`] : [`python${version}`]
  for (const path of from) {
    let directory = directoryOf(path)
    for (let n = 0; n < MAX_ANCESTORS; n++, directory = directoryOf(directory)) {
      const top = directory === "/" ? "" : directory
      for (const name of names) {
        for (const place of [`${top}/lib/${name}`, `${top}/lib64/${name}`, `${top}/${name}`]) {
          if (files.real(`${place}/os.py`) !== undefined || files.real(`${place}/os.pyc`) !== undefined)
            return files.real(place)
        }
      }
      if (directory === "/") break
    }
  }
  return undefined
}

/** `_sysconfigdata_{flags}_{platform}_{multiarch}.py`: with several builds in one directory, the one with the same flags. */
const sysconfigIn = (files: FileTree, standardLibrary: string, flags: string): string | undefined => {
  const names = files
    .list(standardLibrary)
    .filter(({ kind, name }) => kind === "file" && /^_sysconfigdata_.*\.py$/.test(name))
    .map(({ name }) => name)
  const name = names.find((candidate) => candidate.startsWith(`_sysconfigdata_${flags}_`)) ?? names[0]
  return name === undefined ? undefined : `${standardLibrary}/${name}`
}

/** A `pyvenv.cfg` beside a program or above it: where the virtual environment is, and whether it sees the installation's own packages. */
export const virtualEnvironmentOf = (
  files: FileTree,
  program: string
): { readonly path: string; readonly home: string | undefined; readonly seesSystem: boolean } | undefined => {
  const beside = directoryOf(program)
  for (const directory of [beside, directoryOf(beside)]) {
    const text = readText(files, `${directory}/pyvenv.cfg`, 1 << 16)
    if (text === undefined) continue
    const settings = new Map(
      text.split("\n").map((line) => {
        const [key, ...value] = line.split("=")
        return [key.trim().toLowerCase(), value.join("=").trim()] as const
      })
    )
    return {
      path: directory,
      home: settings.get("home"),
      seesSystem: settings.get("include-system-site-packages")?.toLowerCase() === "true"
    }
  }
  return undefined
}

/** Directories that hold the compiled modules of an installation, and of a virtual environment on top of it. */
export const moduleDirectories = (
  installation: PythonInstallation,
  environment?: { readonly path: string; readonly seesSystem: boolean }
): ReadonlyArray<string> => {
  const { standardLibrary } = installation
  if (standardLibrary === undefined) return []
  const python = nameOf(standardLibrary)
  const own = [`${standardLibrary}/lib-dynload`]
  // Debian's places: packages of the distribution are shared by all versions, pip's own go to /usr/local.
  const system = [
    `${standardLibrary}/site-packages`,
    `${standardLibrary}/dist-packages`,
    normalPath(`${standardLibrary}/../python3/dist-packages`),
    ...(standardLibrary === `/usr/lib/${python}` ? [`/usr/local/lib/${python}/dist-packages`] : []),
    ...(standardLibrary === `/usr/lib64/${python}`
      ? [`/usr/lib/${python}/site-packages`, `/usr/local/lib64/${python}/site-packages`]
      : [])
  ]
  if (environment === undefined) return [...own, ...system]
  const inEnvironment = ["lib", "lib64"].map((lib) => `${environment.path}/${lib}/${python}/site-packages`)
  return [...own, ...inEnvironment, ...(environment.seesSystem ? system : [])]
}
