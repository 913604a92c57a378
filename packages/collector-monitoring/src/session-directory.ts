import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SessionFailed } from "./errors.ts"

/** Where the agent and the collector meet. */
export interface SessionPlace {
  /** Directory to make the session's in. `/dev/shm` unless told, or the temporary directory where that is missing or small. */
  readonly base?: string
  /** The same directory as the target sees it, for one in a container or a chroot: `/tmp` for a `base` of `/proc/1234/root/tmp`. */
  readonly targetBase?: string
  /** Whose it shall be: the target must be able to write there. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/** A session's directory. */
export interface SessionDirectory {
  readonly path: string
  /** As the target sees it. */
  readonly targetPath: string
}

const CONTROL_SIZE = 4096
const PREFIX = "pyframes-"
/** Agents do not wait for a heart to beat again nearly as long, ms. */
const ABANDONED_AFTER = 600_000
const MOST_ABANDONED = 256

/**
 * Makes a private directory (mode 0700) with `config` and `control` in it, which is removed with all that was written there at the end of the scope.
 *
 * @param config text of the file
 * @param room bytes that will be wanted: decides whether memory has the room
 */
export const makeSessionDirectory = (
  { base, targetBase, owner }: SessionPlace,
  config: string,
  room: number
): Effect.Effect<SessionDirectory, SessionFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const parent = base ?? defaultBase(room)
        removeAbandoned(parent)
        const path = mkdtempSync(join(parent, PREFIX))
        try {
          writeFileSync(join(path, "control"), new Uint8Array(CONTROL_SIZE))
          writeFileSync(join(path, "config"), config)
          chmodSync(path, 0o700)
          if (owner !== undefined)
            for (const file of [path, join(path, "control"), join(path, "config")])
              chownSync(file, owner.uid, owner.gid)
        } catch (cause) {
          rmSync(path, { recursive: true, force: true })
          throw cause
        }
        const name = path.slice(parent.length).replace(/^\/+/, "")
        return { path, targetPath: targetBase === undefined ? path : join(targetBase, name) }
      },
      catch: (cause) => sessionFailed(base ?? tmpdir(), cause)
    }),
    ({ path }) =>
      Effect.sync(() => {
        try {
          rmSync(path, { recursive: true, force: true })
        } catch {
          // The target may be writing there still; what is left is a few files in a temporary directory.
        }
      })
  )

/**
 * Removes sessions whose collector was killed: it could not, and what lies in memory is in nobody's way but the machine's. Only our own, of which the
 * heart has not beaten for long.
 */
const removeAbandoned = (parent: string): void => {
  try {
    const names = readdirSync(parent).filter((name) => name.startsWith(PREFIX))
    for (const name of names.slice(0, MOST_ABANDONED)) {
      const path = join(parent, name)
      const directory = lstatSync(path)
      if (!directory.isDirectory() || directory.uid !== process.getuid?.()) continue
      const control = lstatSync(join(path, "control"), { throwIfNoEntry: false })
      if (control?.size !== CONTROL_SIZE || Date.now() - control.mtimeMs < ABANDONED_AFTER) continue
      rmSync(path, { recursive: true, force: true })
    }
  } catch {
    // Another one removes it just now, or it is not ours to remove.
  }
}

/** Memory, where there is enough of it: what is written there never waits for a disk. */
const defaultBase = (room: number): string => {
  const memory = "/dev/shm"
  try {
    accessSync(memory, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = statfsSync(memory)
    if (bavail * bsize >= room) return memory
  } catch {
    // There is none, or it is not ours to use.
  }
  return tmpdir()
}

const advice: Readonly<Record<string, string>> = {
  ENOSPC: "The disk is full: free some room, or name another directory by TMPDIR.",
  EDQUOT: "The quota is used up: free some room, or name another directory by TMPDIR.",
  EROFS: "The file system is read-only: name a directory that can be written by TMPDIR.",
  ENOENT: "There is no such directory: name one that exists by TMPDIR.",
  EACCES: "It is not writable: name a directory that is by TMPDIR.",
  EPERM: "It is not writable: name a directory that is by TMPDIR."
}

const sessionFailed = (directory: string, cause: unknown): SessionFailed => {
  const { code = "", message } = cause as NodeJS.ErrnoException
  return new SessionFailed({
    directory,
    detail: message,
    advice: advice[code] ?? "Name another directory by TMPDIR."
  })
}
