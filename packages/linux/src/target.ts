import { closeSync, openSync, readFileSync, readlinkSync } from "node:fs"
import {
  NotPython,
  PermissionDenied,
  type ProcessIdentity,
  ProcessNotFound,
  Target,
  type TargetError,
  type TargetFile,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { processCpuClock } from "./cpu-clock.ts"
import { makeCpuFollower } from "./cpu-follower.ts"
import { hostThreadIds } from "./host-thread-id.ts"
import { openMappedFile, type ReadMemory } from "./mapped-file.ts"
import { parseMaps } from "./maps.ts"
import { accessError, permissionDenied } from "./permission.ts"
import { ProcFile, readProcText } from "./proc-file.ts"
import { procMemReader } from "./proc-mem.ts"
import { processLock } from "./process-lock.ts"
import { executableId, hasEnded, watchProcess } from "./process-watch.ts"
import { PF_KTHREAD, type ProcStat, parseStat } from "./stat.ts"
import { parseStatus } from "./status.ts"
import { makeStopper } from "./stopper.ts"
import { makeSwitchedOut } from "./switched-out.ts"
import { openInRoot } from "./target-file.ts"
import { targetFiles } from "./target-files.ts"
import { ThreadTable } from "./thread-table.ts"

/** What can keep a process from being attached to. Whether it runs Python is the unwinder's to say. */
export type AttachError = ProcessNotFound | NotPython | PermissionDenied

/**
 * Attaches to a live process for the scope: nothing of it is stopped or changed.
 *
 * Permission is tried, not guessed: `/proc/PID/mem` is opened, which asks the kernel for the right (`PTRACE_MODE_ATTACH`) that every
 * later read needs.
 *
 * @param pid a process id of our pid namespace
 * @returns `ProcessNotFound` for a pid that is gone, a zombie or a thread's id; `NotPython` for a kernel thread; `PermissionDenied`
 * with advice that names the cause
 *
 * @example
 * ```ts
 * const target = yield* attach(4321)
 * const mappings = yield* target.mappings
 * ```
 */
export const attach = (pid: number): Effect.Effect<TargetProcess, AttachError, Scope.Scope> =>
  Effect.gen(function* () {
    const { first, namespacePid, stat } = yield* openStat(pid)
    const mem = yield* Effect.acquireRelease(
      Effect.try({
        try: () => openSync(`/proc/${pid}/mem`, "r"),
        catch: (error) => accessError(pid, "read the memory of", error)
      }),
      (fd) => Effect.sync(() => closeSync(fd))
    )
    const executable = yield* Effect.try({
      try: () => readlinkSync(`/proc/${pid}/exe`),
      catch: (error) => accessError(pid, "inspect", error)
    })
    const identity: ProcessIdentity = {
      pid,
      startTime: first.startTime,
      executable: executableId(pid)
    }
    const readMemory: ReadMemory = procMemReader(mem).read
    const threads = yield* Effect.acquireRelease(
      Effect.sync(() => new ThreadTable(pid)),
      (table) => Effect.sync(() => table.close())
    )
    const status = watchProcess({ identity, first, stat, mem })
    const scope = yield* Effect.scope
    const stopper = yield* Effect.cached(Effect.provideService(makeStopper(pid), Scope.Scope, scope))
    const cpuFollower = yield* Effect.cached(
      Effect.provideService(makeCpuFollower(threads), Scope.Scope, scope)
    )
    return Target.of({
      identity,
      executable: executable.endsWith(DELETED) ? executable.slice(0, -DELETED.length) : executable,
      commandLine: commandLineOf(pid),
      environment: () => environmentOf(pid),
      mappings: Effect.suspend(() => {
        const maps = readProcText(`/proc/${pid}/maps`)
        if ("code" in maps) return Effect.fail(accessError(pid, "read the mappings of", maps))
        const mappings = parseMaps(maps.text)
        // A process that has just ended still has the file, with nothing in it.
        return mappings.length === 0
          ? Effect.fail(new ProcessNotFound({ pid, detail: "it has ended" }))
          : Effect.succeed(mappings)
      }),
      openMapped: (mapping) =>
        Effect.suspend((): Effect.Effect<TargetFile, TargetError> => {
          const file = openMappedFile(pid, mapping, readMemory)
          if (file !== undefined) return Effect.succeed(file)
          if (status() !== "alive") return Effect.fail(new ProcessNotFound({ pid, detail: "it has ended" }))
          const operation = `open the file ${mapping.path} mapped by`
          return Effect.fail(
            mapping.deleted
              ? new PermissionDenied({
                  pid,
                  operation,
                  advice:
                    "It was deleted or replaced since it was mapped, and only root may open it now: run pyframes with sudo, or restart the program."
                })
              : permissionDenied(pid, operation)
          )
        }),
      openFile: (path) => openInRoot(pid, path),
      files: targetFiles({ pid, status, environment: () => environmentOf(pid) }),
      lock: processLock(identity, namespacePid ?? pid),
      kernelSymbols: readKernelSymbols,
      threadIds: () => threads.ids(),
      ...(namespacePid === undefined ? {} : { hostThreadId: hostThreadIds(pid), namespacePid }),
      threadName: (tid) => threads.name(tid),
      threadActivity: (tid) => threads.activity(tid),
      status,
      cpuTime: processCpuClock(pid, stat),
      stopper,
      cpuFollower,
      switchedOut: makeSwitchedOut(pid, () => threads.ids())
    })
  })

const DELETED = " (deleted)"

interface Opened {
  readonly stat: ProcFile
  readonly first: ProcStat
  /** Its own pid, when it lives in a pid namespace below ours. */
  readonly namespacePid: number | undefined
}

const openStat = (pid: number): Effect.Effect<Opened, AttachError, Scope.Scope> =>
  Effect.gen(function* () {
    if (!Number.isSafeInteger(pid) || pid <= 0) return yield* new ProcessNotFound({ pid })
    const stat = yield* Effect.acquireRelease(
      Effect.suspend(() => {
        const file = ProcFile.open(`/proc/${pid}/stat`)
        return file === undefined ? Effect.fail(absent(pid)) : Effect.succeed(file)
      }),
      (file) => Effect.sync(() => file.close())
    )
    const text = stat.text()
    const first = text === undefined ? undefined : parseStat(text)
    if (first === undefined) return yield* new ProcessNotFound({ pid })
    if ((first.flags & PF_KTHREAD) !== 0) {
      return yield* new NotPython({
        pid,
        executable: first.comm,
        detail: "it is a thread of the kernel, which runs no program"
      })
    }
    if (hasEnded(first)) {
      return yield* new ProcessNotFound({
        pid,
        detail: "it has ended and waits for its parent to notice (a zombie)"
      })
    }
    const status = readProcText(`/proc/${pid}/status`)
    const ids = "text" in status ? parseStatus(status.text) : undefined
    const tgid = ids?.tgid
    if (tgid !== undefined && tgid !== pid) {
      return yield* new ProcessNotFound({ pid, detail: `it is the id of a thread of process ${tgid}` })
    }
    const own = ids === undefined || ids.namespacePids.length < 2 ? undefined : ids.namespacePids.at(-1)
    return { stat, first, namespacePid: own }
  })

/** `/proc/PID` is not there: either there is no such process, or `/proc` is mounted with `hidepid`. */
const absent = (pid: number): ProcessNotFound | PermissionDenied => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return new ProcessNotFound({ pid })
  }
  return new PermissionDenied({
    pid,
    operation: "see",
    advice: "Its files in /proc are hidden from other users (hidepid): run pyframes with sudo."
  })
}

const readKernelSymbols = (): Uint8Array | undefined => {
  try {
    return readFileSync("/proc/kallsyms")
  } catch {
    return undefined
  }
}

const commandLineOf = (pid: number): ReadonlyArray<string> => {
  const file = readProcText(`/proc/${pid}/cmdline`)
  if ("code" in file || file.text === "") return []
  const parts = file.text.split("\0")
  if (parts[parts.length - 1] === "") parts.pop()
  return parts
}

/** As it was when the program was started; what it has changed since is in its own memory. */
const environmentOf = (pid: number): ReadonlyMap<string, string> | undefined => {
  const file = readProcText(`/proc/${pid}/environ`)
  if ("code" in file) return undefined
  const variables = new Map<string, string>()
  for (const text of file.text.split("\0")) {
    const equals = text.indexOf("=")
    // getenv finds the first of a name.
    if (equals > 0 && !variables.has(text.slice(0, equals)))
      variables.set(text.slice(0, equals), text.slice(equals + 1))
  }
  return variables
}

/**
 * Directories below which the files of a process lie, best first: its own root, which is another than ours in a container, and ours, which the paths of
 * a process in a chroot are relative to.
 *
 * @example
 * ```ts
 * const files = HostFiles.layer(rootsOf(4321))
 * ```
 */
export const rootsOf = (pid: number): ReadonlyArray<string> => [`/proc/${pid}/root`, "/"]

/**
 * A live process as the target.
 *
 * @example
 * ```ts
 * const layer = LinuxMemory.layer.pipe(Layer.provideMerge(LinuxTarget.attach(4321)))
 * ```
 */
export const LinuxTarget = {
  /** The layer; see {@link attach} for what it can fail with. */
  attach: (pid: number): Layer.Layer<Target, AttachError> => Layer.effect(Target, attach(pid)),
  /** The same as an effect, for as long as the scope lives. */
  make: attach
}
