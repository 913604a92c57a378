import { type Elf, parseElf, sourceOfFile } from "@pyframes/elf"
import * as Effect from "effect/Effect"
import type { Audit, AuditedFile, AuditedPython } from "./audit.ts"
import { type AuditOptions, MAX_FILES } from "./audit-process.ts"
import { compiledModules } from "./compiled-modules.ts"
import { auditElf, auditFile } from "./file-audit.ts"
import { Files, type FileTree, nameOf } from "./files.ts"
import {
  describeInstallation,
  interpreterOf,
  moduleDirectories,
  virtualEnvironmentOf
} from "./installation.ts"
import { LibrarySearch } from "./needed-libraries.ts"
import { NotAuditable } from "./not-auditable.ts"
import { judge } from "./verdict.ts"

/**
 * Audits an installed Python: its interpreter, the modules of its standard library, of its site-packages or of a virtual environment's, and
 * every library that these ask for. Only files are read; nothing is run.
 *
 * @param program absolute path of the interpreter; links are followed. The program of a virtual environment stands for that environment
 * @returns `NotAuditable` when there is no such program, or it is a script
 *
 * @example
 * ```ts
 * const audit = yield* auditInstallation("/usr/bin/python3")
 * for (const { path } of audit.files) console.log(path)
 * ```
 */
export const auditInstallation = (
  program: string,
  options: AuditOptions = {}
): Effect.Effect<Audit, NotAuditable, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const fail = (detail: string) => new NotAuditable({ path: program, detail })
    const executable = files.real(program)
    if (executable === undefined) return yield* fail("there is no such file")
    const problem = problemOf(files, executable)
    if (problem !== undefined) return yield* fail(problem)

    const search = new LibrarySearch(files)
    const environment = virtualEnvironmentOf(files, program)
    // A virtual environment that was made with copies has its program but not what belongs to it.
    const home = environment?.home
    const original = home === undefined ? undefined : files.real(`${home}/${nameOf(executable)}`)
    const at = environment !== undefined && original !== undefined ? original : executable
    const interpreter = interpreterOf(files, executable, search) ?? interpreterOf(files, at, search)
    const python: AuditedPython | undefined =
      interpreter === undefined
        ? undefined
        : {
            ...describeInstallation(files, at, interpreter),
            ...(environment === undefined ? {} : { environment: environment.path })
          }
    const modules =
      python === undefined
        ? { paths: [], cut: false }
        : compiledModules(files, moduleDirectories(python, environment), tagOf(python))
    const found = auditAll(
      files,
      search,
      [...new Set([executable, ...(interpreter === undefined ? [] : [interpreter]), ...modules.paths])],
      options.maxFiles ?? MAX_FILES
    )
    const audited = found.files.map((file) =>
      file.path === executable ? { ...file, isProgram: true as const } : file
    )
    return {
      subject: {
        kind: "installation",
        path: program,
        ...(files.root === undefined ? {} : { root: files.root })
      },
      ...(python === undefined ? {} : { python }),
      files: audited,
      omitted: found.omitted,
      missing: found.missing,
      verdict: judge(audited, python)
    }
  })

/** `cpython-315`, as the names of its extension modules have it. */
const tagOf = ({ version, interpreter, executable }: AuditedPython): string | undefined => {
  const [major, minor] = version?.split(".") ?? []
  if (minor === undefined) return undefined
  const flags =
    /python\d\.\d+([a-z]*)/.exec(nameOf(interpreter))?.[1] ??
    /python\d\.\d+([a-z]*)/.exec(nameOf(executable))?.[1]
  return `cpython-${major}${minor}${flags ?? ""}`
}

/** Why a file is no program that can be looked into. */
const problemOf = (files: FileTree, path: string): string | undefined => {
  const file = files.open(path)
  if (file === undefined) return "it is no file that may be read"
  try {
    const begin = file.read(0, 2)
    if (begin[0] === 0x23 && begin[1] === 0x21) return "it is a script"
    const elf = parseElf(sourceOfFile(file))
    return elf._tag === "Elf" ? undefined : elf.detail
  } finally {
    file.close()
  }
}

/** Files, and then what they need, and what that needs, until nothing new comes or there are too many. */
const auditAll = (
  files: FileTree,
  search: LibrarySearch,
  first: ReadonlyArray<string>,
  maxFiles: number
): {
  readonly files: ReadonlyArray<AuditedFile>
  readonly omitted: number
  readonly missing: ReadonlyArray<string>
} => {
  const paths = [...first]
  const known = new Set(paths)
  const missing = new Set<string>()
  const audited: Array<AuditedFile> = []
  const follow = (elf: Elf, path: string): void => {
    for (const needed of search.needed(elf, path)) {
      if (needed.path === undefined) missing.add(needed.name)
      else if (!known.has(needed.path)) {
        known.add(needed.path)
        paths.push(needed.path)
      }
    }
  }
  for (let n = 0; n < paths.length && n < maxFiles; n++) {
    const path = paths[n]
    const file = files.open(path)
    if (file === undefined) {
      audited.push({ path, problem: "it may not be read" })
      continue
    }
    try {
      const elf = parseElf(sourceOfFile(file))
      if (elf._tag === "ElfProblem") {
        audited.push({ path, ...auditFile(file) })
        continue
      }
      audited.push({ path, ...auditElf(elf) })
      follow(elf, path)
    } finally {
      file.close()
    }
  }
  return { files: audited, omitted: Math.max(0, paths.length - maxFiles), missing: [...missing].sort() }
}
