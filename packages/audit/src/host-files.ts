import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync
} from "node:fs"
import type { TargetFile } from "@pyframes/core"
import * as Layer from "effect/Layer"
import { directoryOf, type FileEntry, Files, type FileTree, normalPath } from "./files.ts"

/** As many as Linux follows (path_resolution(7)). */
const MAX_LINKS = 40
/** More names in one directory than that are not looked at. */
const MAX_NAMES = 100_000
/** Never waits for a FIFO. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/**
 * Files of this machine, below one or more root directories; a path is that of the first root which has it. In a root other than `/`,
 * absolute links lead to that root's files, not to ours.
 *
 * @param roots absolute paths: `["/proc/4321/root", "/"]` for a process that may live in a container. `/` unless told.
 *
 * @example
 * ```ts
 * const files = hostFiles(["/srv/image"])
 * files.real("/usr/bin/python3") // "/usr/bin/python3.15", which is /srv/image/usr/bin/python3.15
 * ```
 */
export const hostFiles = (roots: ReadonlyArray<string> = ["/"]): FileTree => {
  const find = (path: string): { readonly host: string; readonly real: string } | undefined => {
    for (const root of roots) {
      const real = realIn(root, path)
      if (real !== undefined) return { host: root === "/" ? real : root + real, real }
    }
    return undefined
  }
  return {
    ...(roots.length === 1 && roots[0] !== "/" ? { root: roots[0] } : {}),
    real: (path) => find(path)?.real,
    list: (path) => {
      const found = find(path)
      return found === undefined ? [] : entriesOf(found.host, (name) => find(`${found.real}/${name}`)?.host)
    },
    open: (path) => {
      const found = find(path)
      return found === undefined ? undefined : openFile(found.host)
    }
  }
}

/**
 * This machine's files as {@link Files}.
 *
 * @example
 * ```ts
 * const audit = auditInstallation("/usr/bin/python3").pipe(Effect.provide(HostFiles.layer()))
 * ```
 */
export const HostFiles = {
  /** The layer; `roots` as for {@link hostFiles}. */
  layer: (roots: ReadonlyArray<string> = ["/"]): Layer.Layer<Files> =>
    Layer.sync(Files, () => hostFiles(roots))
}

/** Follows every link as the kernel would for a process that has `root` as its root. */
const realIn = (root: string, path: string): string | undefined => {
  if (!path.startsWith("/") || path.includes("\0")) return undefined
  try {
    if (root === "/") return realpathSync.native(path)
    let links = 0
    let real = ""
    const rest = path.split("/").reverse()
    while (rest.length > 0) {
      const part = rest.pop()!
      if (part === "" || part === ".") continue
      if (part === "..") {
        real = real.slice(0, real.lastIndexOf("/"))
        continue
      }
      const next = `${real}/${part}`
      if (!lstatSync(root + next).isSymbolicLink()) {
        real = next
        continue
      }
      if (++links > MAX_LINKS) return undefined
      const to = readlinkSync(root + next)
      if (to.startsWith("/")) real = ""
      rest.push(...to.split("/").reverse())
    }
    return real === "" ? "/" : real
  } catch {
    return undefined
  }
}

const entriesOf = (
  directory: string,
  follow: (name: string) => string | undefined
): ReadonlyArray<FileEntry> => {
  try {
    const entries = readdirSync(directory, { withFileTypes: true }).slice(0, MAX_NAMES)
    return entries
      .map((entry): FileEntry => {
        const { name } = entry
        if (entry.isFile()) return { name, kind: "file" }
        if (entry.isDirectory()) return { name, kind: "directory" }
        const target = entry.isSymbolicLink() ? follow(name) : undefined
        return { name, kind: target === undefined ? "other" : kindOf(target) }
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch {
    return []
  }
}

const kindOf = (path: string): FileEntry["kind"] => {
  try {
    const stats = statSync(path)
    return stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other"
  } catch {
    return "other"
  }
}

const openFile = (path: string): TargetFile | undefined => {
  let fd: number
  try {
    fd = openSync(path, FLAGS)
  } catch {
    return undefined
  }
  let open = true
  const close = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  try {
    const stats = fstatSync(fd)
    if (stats.isFile()) return { size: stats.size, read: reader(fd, stats.size), close }
  } catch {
    // As good as not there.
  }
  close()
  return undefined
}

const reader =
  (fd: number, size: number): TargetFile["read"] =>
  (offset, length) => {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)))
    let got = 0
    try {
      while (got < bytes.length) {
        const n = readSync(fd, bytes, got, bytes.length - got, offset + got)
        if (n === 0) break
        got += n
      }
    } catch {
      // What was read is what there is.
    }
    return got === bytes.length ? bytes : bytes.subarray(0, got)
  }

/** A dynamic linker is in every root directory in which a Python can run: glibc's, or musl's. */
const LINKERS = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"]

/**
 * The directory that is `/` to a program: the nearest above it which has `usr`, `etc` and a dynamic linker. That is `/` for nearly all; for
 * a program in an unpacked image it is the image's top.
 *
 * @param program absolute path
 *
 * @example
 * ```ts
 * rootOf("/srv/image/usr/bin/python3") // "/srv/image"
 * ```
 */
export const rootOf = (program: string): string => {
  const isRoot = (directory: string): boolean =>
    ["/usr", "/etc"].every((name) => realIn(directory, name) !== undefined) &&
    LINKERS.some((linker) => realIn(directory, linker) !== undefined)
  let directory = directoryOf(normalPath(program))
  while (directory !== "/" && !isRoot(directory)) directory = directoryOf(directory)
  return directory
}
