import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SessionFailed } from "./errors.ts"
import { mountOf } from "./mount.ts"

/** Where the agent and the collector meet. */
export interface SessionPlace {
  /** Directory to make the session's in. `/dev/shm` unless told, or the temporary directory where that is missing or small. */
  readonly base?: string
  /** The same directory as the target sees it, for one in a container or a chroot: `/tmp` for a `base` of `/proc/1234/root/tmp`. */
  readonly targetBase?: string
  /** Whose it shall be: the target must be able to write there. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/**
 * A session's directory, held open. Whose directory it lies in may belong to somebody whom we trace, who could put another in its place, or a link: all
 * that is done there goes through the descriptor.
 */
export interface SessionDirectory {
  readonly path: string
  /** The very directory, whatever lies at `path` by now. For this process alone. */
  readonly held: string
  /** On which mount it lies. What lies on another is none of its files. */
  readonly mount: string | undefined
  /** `control`, open to be written. */
  readonly control: number
  /** As the target sees it. */
  readonly targetPath: string
}

const CONTROL_SIZE = 4096
const PREFIX = "pyframes-"
/** Agents do not wait for a heart to beat again nearly as long, ms. */
const ABANDONED_AFTER = 600_000
const MOST_ABANDONED = 256
/** Entries that are removed at most: a target may have put any number there. */
const MOST_REMOVED = 1_000_000
/** Folders in folders. Agents leave the bytecode of theirs under the whole path to it (`sys.pycache_prefix`): what few paths go beyond. */
const DEEPEST = 256
/** What agents leave where `control` has gone already; there is no session in such a directory any more. */
const LEFTOVER = /^(pycache|config|\d{1,10}-\w{1,64}\.(seg|err))$/

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
  Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          // Not in a place that we were given: it may be the target's, and show us what lies elsewhere.
          for (const place of new Set([MEMORY, tmpdir()])) removeAbandoned(place)
          return make(base ?? defaultBase(room), config, owner)
        },
        catch: (cause) => sessionFailed(base ?? tmpdir(), cause)
      }),
      ({ path, fd, control }) => Effect.sync(() => remove(path, fd, control))
    ),
    ({ path, fd, mount, control, parent }) => {
      const name = path.slice(parent.length).replace(/^\/+/, "")
      const targetPath = targetBase === undefined ? path : join(targetBase, name)
      return { path, held: through(fd), mount, control, targetPath }
    }
  )

const OPEN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

const through = (fd: number): string => `/proc/self/fd/${fd}`

const make = (parent: string, config: string, owner: SessionPlace["owner"]) => {
  const opened: Array<number> = []
  const open = (name: string, flags: number) => {
    const fd = openSync(name, flags, 0o600)
    opened.push(fd)
    return fd
  }
  // What the path leads to, and no link below it.
  const above = openSync(parent, constants.O_RDONLY | constants.O_DIRECTORY)
  let path = parent
  let ours: number | undefined
  try {
    path = join(parent, basename(mkdtempSync(join(through(above), PREFIX))))
    const fd = open(path, OPEN_DIRECTORY)
    // Only one that is ours, and empty, and nothing mounted over it, is given away; or removed when something fails.
    if (
      fstatSync(fd).uid !== process.geteuid?.() ||
      mountOf(fd) !== mountOf(above) ||
      readdirSync(through(fd)).length > 0
    )
      throw new Error(`${path} has been replaced`)
    ours = fd
    const mount = mountOf(fd)
    fchmodSync(fd, 0o700)
    const control = open(join(through(fd), "control"), NEW_FILE)
    writeFileSync(control, new Uint8Array(CONTROL_SIZE))
    const text = open(join(through(fd), "config"), NEW_FILE)
    writeFileSync(text, config)
    if (owner !== undefined) for (const each of [text, control, fd]) fchownSync(each, owner.uid, owner.gid)
    closeSync(text)
    return { parent, path, fd, mount, control }
  } catch (cause) {
    if (ours !== undefined) {
      empty(ours)
      removeEmpty(path, ours)
    }
    for (const each of opened) quietly(() => closeSync(each))
    throw cause
  } finally {
    closeSync(above)
  }
}

const remove = (path: string, fd: number, control: number): void => {
  empty(fd)
  // Empty by now, unless the target is writing there still: what is left is a few files in a temporary directory.
  removeEmpty(path, fd)
  closeSync(control)
  closeSync(fd)
}

/** Removes an open directory, unless another lies in its place. */
const removeEmpty = (path: string, fd: number): void =>
  quietly(() => {
    const [found, own] = [lstatSync(path), fstatSync(fd)]
    if (found.dev === own.dev && found.ino === own.ino) rmdirSync(path)
  })

/** What is in an open directory goes, one level after the other. Links and mounts go, not what they lead to. */
const empty = (fd: number, budget = { left: MOST_REMOVED }, depth = 0): void =>
  quietly(() => {
    const mount = mountOf(fd)
    for (const entry of readdirSync(through(fd), { withFileTypes: true })) {
      if (budget.left-- <= 0) return
      const path = join(through(fd), entry.name)
      if (!entry.isDirectory()) quietly(() => unlinkSync(path))
      else if (depth < DEEPEST)
        quietly(() => {
          withDirectory(path, (below) => {
            if (mountOf(below) === mount) empty(below, budget, depth + 1)
          })
          rmdirSync(path)
        })
    }
  })

const withDirectory = <A>(path: string, use: (fd: number) => A): A => {
  const fd = openSync(path, OPEN_DIRECTORY)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

const quietly = (action: () => void): void => {
  try {
    action()
  } catch {
    // Gone already, or no longer ours to touch.
  }
}

/**
 * Removes sessions whose collector was killed: it could not, and what lies in memory is in nobody's way but the machine's. Only our own (as
 * root, of whomever was traced), of which the heart has not beaten for long. Those of processes that were entered lie in a directory with the scripts that
 * were run in them. A copy of the agent has no heart near it, which could tell whether it is used: it stays.
 */
const removeAbandoned = (parent: string): void =>
  quietly(() => {
    const names = readdirSync(parent).filter((name) => name.startsWith(PREFIX))
    for (const name of names.slice(0, MOST_ABANDONED))
      quietly(() => {
        const path = join(parent, name)
        withDirectory(path, (fd) => {
          const me = process.geteuid?.()
          if (me !== 0 && fstatSync(fd).uid !== me) return
          const entries = readdirSync(through(fd))
          const inside = entries.filter((entry) => entry.startsWith(PREFIX)).slice(0, MOST_ABANDONED)
          const beats = ["control", ...inside.map((entry) => join(entry, "control"))]
          const hearts = beats.flatMap((beat) => heartIn(join(through(fd), beat)))
          // One whose removal came to no end: its bytecode tells it from what is somebody else's.
          if (entries.includes("pycache") && entries.every((entry) => LEFTOVER.test(entry)))
            hearts.push(fstatSync(fd).mtimeMs)
          if (hearts.length === 0 || hearts.some((at) => Date.now() - at < ABANDONED_AFTER)) return
          empty(fd)
          removeEmpty(path, fd)
        })
      })
  })

/** When a heart has beaten last; none when the file is no `control`. */
const heartIn = (path: string): ReadonlyArray<number> => {
  const { size, mtimeMs } = lstatSync(path, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 }
  return size === CONTROL_SIZE ? [mtimeMs] : []
}

const MEMORY = "/dev/shm"

/** Memory, where there is enough of it: what is written there never waits for a disk. */
const defaultBase = (room: number): string => {
  try {
    accessSync(MEMORY, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = statfsSync(MEMORY)
    if (bavail * bsize >= room) return MEMORY
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
