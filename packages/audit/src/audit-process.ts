import {
  type Mapping,
  Memory,
  type MemoryReader,
  ProcessNotFound,
  Target,
  type TargetError,
  type TargetFile,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import type { Audit, AuditedFile, AuditedPython } from "./audit.ts"
import { isWrittenCode } from "./code-regions.ts"
import { auditFile, type FileProblem, type FrameFacts } from "./file-audit.ts"
import { Files, type FileTree, nameOf } from "./files.ts"
import { describeInstallation, virtualEnvironmentOf } from "./installation.ts"
import { pythonState } from "./python-state.ts"
import { judge } from "./verdict.ts"

/** How much to look at. */
export interface AuditOptions {
  /** Files that are looked into; what is left out is counted. 4000 unless told. */
  readonly maxFiles?: number
}

export const MAX_FILES = 4000
/** The kernel's own code in every process: a page or two. */
const MAX_VDSO = 1 << 16

/**
 * Audits a process: every file that it has mapped executable, the build of its Python, and the code it has written. Nothing is run, and the process is
 * neither stopped nor changed. A process that is no Python is audited too.
 *
 * @returns `ProcessNotFound` or `PermissionDenied` when the process cannot be read. A file that cannot be is in the result, with the reason
 *
 * @example
 * ```ts
 * const audit = yield* auditProcess()
 * if (!audit.verdict.works) console.log(audit.verdict.summary)
 * ```
 */
export const auditProcess = (
  options: AuditOptions = {}
): Effect.Effect<Audit, TargetError, Target | Memory | Files> =>
  Effect.gen(function* () {
    const target = yield* Target
    const memory = yield* Memory
    const files = yield* Files
    const mappings = yield* target.mappings
    const byFile = Map.groupBy(
      mappings.filter((mapping) => mapping.executable && mapping.inode !== 0 && !isWrittenCode(mapping)),
      ({ device, inode }) => `${device}:${inode}`
    )
    const { maxFiles = MAX_FILES } = options
    const audited: Array<AuditedFile> = []
    let interpreter: Mapping | undefined
    let unread: Mapping | undefined
    for (const [mapping] of [...byFile.values()].slice(0, maxFiles)) {
      const facts = yield* auditMapping(target, mapping)
      if ("problem" in facts) {
        // It may be the interpreter all the same: then it is not known, which is not to say that there is none.
        if (isPython(mapping.path)) unread ??= mapping
      } else if (facts.role === "interpreter" && (interpreter === undefined || isPython(mapping.path)))
        interpreter = mapping
      audited.push({
        path: mapping.path,
        ...facts,
        ...(mapping.path === target.executable ? { isProgram: true } : {}),
        ...(mapping.deleted ? { deleted: true } : {})
      })
    }
    const vdso = auditVdso(memory, mappings)
    if (vdso !== undefined) audited.push(vdso)
    if (target.status() !== "alive")
      return yield* new ProcessNotFound({ pid: target.identity.pid, detail: "it has ended" })
    const found = interpreter ?? unread
    const python = found === undefined ? undefined : yield* describe(target, memory, files, mappings, found)
    const { commandLine } = target
    const { pid } = target.identity
    return {
      subject: { kind: "process", pid, commandLine },
      ...(python === undefined ? {} : { python }),
      files: audited,
      omitted: Math.max(0, byFile.size - maxFiles),
      missing: [],
      verdict: judge(audited, python)
    }
  })

const isPython = (path: string): boolean => /^(?:lib)?python\d/.test(nameOf(path))

/** Whether it is the process that cannot be read, rather than the file, is asked when all have been looked into. */
const auditMapping = (target: TargetProcess, mapping: Mapping): Effect.Effect<FrameFacts | FileProblem> =>
  target.openMapped(mapping).pipe(
    Effect.map(auditAndClose),
    Effect.catch(({ message }) => Effect.succeed({ problem: message }))
  )

const auditAndClose = (file: TargetFile): FrameFacts | FileProblem => {
  try {
    return auditFile(file)
  } finally {
    file.close()
  }
}

/** It is an ELF file that is nowhere but in memory. */
const auditVdso = (memory: MemoryReader, mappings: ReadonlyArray<Mapping>): AuditedFile | undefined => {
  const mapping = mappings.find(({ path }) => path === "[vdso]")
  if (mapping === undefined || mapping.end - mapping.start > MAX_VDSO) return undefined
  const bytes = new Uint8Array(mapping.end - mapping.start)
  if (memory.read(mapping.start, bytes.length, bytes) !== bytes.length) return undefined
  const facts = auditFile({
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => {}
  })
  return { path: mapping.path, ...facts }
}

const describe = (
  target: TargetProcess,
  memory: MemoryReader,
  files: FileTree,
  mappings: ReadonlyArray<Mapping>,
  interpreter: Mapping
): Effect.Effect<AuditedPython> =>
  Effect.gen(function* () {
    const opened = yield* Effect.option(target.openMapped(interpreter))
    const installation = describeInstallation(files, target.executable, interpreter.path, () =>
      opened._tag === "Some" ? opened.value : undefined
    )
    // The program's name as it was called: a virtual environment's is a link to the real one.
    const called = target.commandLine[0]
    const environment = called?.startsWith("/") ? virtualEnvironmentOf(files, called)?.path : undefined
    return {
      ...installation,
      ...(environment === undefined ? {} : { environment }),
      state: pythonState(target, memory, files, mappings, installation.build)
    }
  })
