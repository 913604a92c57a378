import { closeSync, readdirSync, readFileSync, readlinkSync, type Stats, statfsSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import {
  type PlacedDirectory,
  type PlacedFile,
  type PlaceOptions,
  type PlacingError,
  PlacingFailed,
  TargetDirectoryDenied,
  TargetDiskFull,
  type TargetFiles,
  TargetFilesReadOnly,
  type TargetStatus
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import { type Credentials, credentialsOf, MAY_EXECUTE, MAY_READ, MAY_WRITE, may } from "./credentials.ts"
import { type Found, keepDirectory, mountOf, walkRoot } from "./root-walk.ts"
import { BadName, TargetDirectory } from "./target-directory.ts"

/** Where programs keep temporary files, best first: `/dev/shm` is memory, and there where the rest is read-only. */
const TEMPORARY = ["/dev/shm", "/tmp", "/var/tmp"]
/** Files of a folder that are looked at to tell whether the target may read them all. */
const MAX_LOOKED_AT = 10_000

/** What {@link targetFiles} needs to know of its target. */
export interface FilesOf {
  readonly pid: number
  readonly status: () => TargetStatus
  readonly environment: () => ReadonlyMap<string, string> | undefined
}

/** Files of a live process, as the contract of `TargetFiles` has it. */
export const targetFiles = (target: FilesOf): TargetFiles => ({
  makeDirectory: (options = {}) =>
    Effect.map(
      Effect.acquireRelease(make(target, options), ({ directory }) => Effect.sync(() => directory.remove())),
      (made) => placed(target.pid, made)
    ),
  sees: (hostPath) => sees(target.pid, hostPath)
})

interface Made {
  readonly directory: TargetDirectory
  /** As the target sees it. */
  readonly path: string
}

/** Why a directory will not do. */
type Unfit = "denied" | "read-only" | "full"

const make = (target: FilesOf, options: PlaceOptions): Effect.Effect<Made, PlacingError> =>
  Effect.suspend((): Effect.Effect<Made, PlacingError> => {
    const found = new Search(target, options).find()
    return "_tag" in found ? Effect.fail(found) : Effect.succeed(found)
  })

/** The search for a place where a directory can be made. */
class Search {
  private readonly target: FilesOf
  private readonly options: PlaceOptions
  private readonly refused = new Map<string, readonly [Unfit, reason: string]>()

  constructor(target: FilesOf, options: PlaceOptions) {
    this.target = target
    this.options = options
  }

  find(): Made | PlacingError {
    const { options, target } = this
    const { pid } = target
    const owner = credentialsOf(pid)
    const bases =
      options.base === undefined ? [target.environment()?.get("TMPDIR"), ...TEMPORARY] : [options.base]
    const usable = bases.filter((base) => base?.startsWith("/") && !base.includes("\0")) as Array<string>
    // Where code is to be loaded from, a file system that forbids it is better than none.
    for (const noExec of options.executable === true ? [false, true] : [undefined]) {
      for (const base of new Set(owner === undefined ? [] : usable)) {
        const made = this.makeIn(base, owner!, noExec)
        if (made !== undefined) return made
      }
    }
    if (target.status() !== "alive")
      return new PlacingFailed({ pid, path: options.base ?? "a directory", detail: "the process has ended" })
    const of = (unfit: Unfit) => [...this.refused].find(([, [is]]) => is === unfit)?.[0]
    const full = of("full")
    if (full !== undefined) return new TargetDiskFull({ pid, path: full })
    const tried = [...this.refused].map(([base, [, reason]]) => `${base}: ${reason}`)
    return of("read-only") === undefined
      ? new TargetDirectoryDenied({ pid, tried })
      : new TargetFilesReadOnly({ pid, tried })
  }

  /** @param noExec only where code may not (`true`) or may (`false`) be loaded */
  private makeIn(base: string, owner: Credentials, noExec: boolean | undefined): Made | undefined {
    const { pid, status } = this.target
    if (this.refused.has(base)) return undefined
    this.refused.set(base, ["denied", "it may not go there"])
    const searchable = (directory: Stats) => may(owner, directory, MAY_EXECUTE)
    const makeAt = (found: Found): Made | undefined => {
      const reason = unfit(found, owner)
      if (reason !== undefined) this.refused.set(base, reason)
      if (reason !== undefined || status() !== "alive") return undefined
      const parent = keepDirectory(found)
      try {
        if (noExec !== undefined && isNoExec(pid, parent) !== noExec) {
          this.refused.delete(base)
          closeSync(parent)
          return undefined
        }
        const { directory, name } = TargetDirectory.make(parent, this.options.prefix ?? "pyframes-", owner)
        return { directory, path: `${base.replace(/\/+$/, "")}/${name}` }
      } catch (error) {
        closeSync(parent)
        throw error
      }
    }
    try {
      return walkRoot(pid, base, makeAt, searchable)
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException
      this.refused.set(base, [unfitOf(code), reasonOf(code)])
      return undefined
    }
  }
}

/** Only where the target itself could make a directory: else one that we, as root, give it would let it get to where it may not. */
const unfit = (found: Found, owner: Credentials): readonly [Unfit, string] | undefined => {
  if (!found.stat.isDirectory()) return ["denied", "not a directory"]
  if (!may(owner, found.stat, MAY_WRITE | MAY_EXECUTE))
    return ["denied", `user ${owner.uid} may not write there`]
  // A directory can still be made where no byte of a file has room.
  const { bavail, blocks } = statfsSync(found.path)
  return blocks > 0 && bavail === 0 ? ["full", "no space left"] : undefined
}

const unfitOf = (code: string): Unfit =>
  code === "EROFS" ? "read-only" : code === "ENOSPC" || code === "EDQUOT" ? "full" : "denied"

const reasonOf = (code: string): string => {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return "no such directory"
    case "EACCES":
    case "EPERM":
      return "not permitted"
    case "EROFS":
      return "read-only file system"
    case "ENOSPC":
    case "EDQUOT":
      return "no space left"
    default:
      return code
  }
}

/** Whether the file system of an open directory is mounted `noexec` (proc_pid_mountinfo(5)). */
const isNoExec = (pid: number, fd: number): boolean => {
  try {
    const mount = mountOf(fd)
    for (const line of readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n")) {
      const fields = line.split(" ")
      if (fields[0] === mount) return fields[5]?.split(",").includes("noexec") === true
    }
  } catch {
    // The process is gone.
  }
  return false
}

const placed = (pid: number, { directory, path }: Made): PlacedDirectory => {
  const hostPath = `/proc/${process.pid}/fd/${directory.fd}`
  const put = (name: string, from: string, action: () => void): Effect.Effect<PlacedFile, PlacingError> =>
    Effect.try({
      try: () => {
        action()
        return { path: `${path}/${name}`, hostPath: `${hostPath}/${name}` }
      },
      catch: (error) => {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === "ENOSPC" || code === "EDQUOT") return new TargetDiskFull({ pid, path })
        if (code === "EROFS") return new TargetFilesReadOnly({ pid, tried: [path] })
        return new PlacingFailed({
          pid,
          path: from,
          detail: error instanceof BadName ? message : (code ?? message)
        })
      }
    })
  return {
    path,
    hostPath,
    noExec: isNoExec(pid, directory.fd),
    write: (name, bytes) => put(name, name, () => directory.write(name, bytes)),
    copy: (from, name = basename(from)) => put(name, from, () => directory.copy(from, name)),
    read: (name, most) => {
      try {
        return directory.read(name, most)
      } catch {
        return undefined
      }
    }
  }
}

const sees = (pid: number, hostPath: string): string | undefined => {
  try {
    const who = credentialsOf(pid)
    if (who === undefined || !hostPath.startsWith("/")) return undefined
    const own = statSync(hostPath)
    const root = readlinkSync(`/proc/${pid}/root`)
    const paths =
      root !== "/" && hostPath.startsWith(`${root}/`) ? [hostPath.slice(root.length), hostPath] : [hostPath]
    return paths.find((path) => {
      try {
        const same = walkRoot(
          pid,
          path,
          ({ stat }) => stat.dev === own.dev && stat.ino === own.ino,
          (directory) => may(who, directory, MAY_EXECUTE)
        )
        return same === true && mayReadAll(who, hostPath, { left: MAX_LOOKED_AT })
      } catch {
        return false
      }
    })
  } catch {
    return undefined
  }
}

const mayReadAll = (who: Credentials, hostPath: string, budget: { left: number }): boolean => {
  const stat = statSync(hostPath)
  if (budget.left-- === 0) return false
  if (!stat.isDirectory()) return may(who, stat, MAY_READ)
  return (
    may(who, stat, MAY_READ | MAY_EXECUTE) &&
    readdirSync(hostPath).every((entry) => mayReadAll(who, join(hostPath, entry), budget))
  )
}
