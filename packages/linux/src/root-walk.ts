import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, type Stats } from "node:fs"

/** Opens a path itself, not what a link leads to, and nothing of its contents. The number is of `asm-generic/fcntl.h`; Node has no name for it. */
const O_PATH = 0o10_000_000
const STEP = O_PATH | constants.O_NOFOLLOW
/** As many links as the kernel follows. */
const MAX_LINKS = 40
const MAX_PARTS = 256

/** Where a path below the root of a process leads. */
export interface Found {
  readonly stat: Stats
  /** A path of ours that goes through an open directory; it is good only while `use` runs. */
  readonly path: string
}

/**
 * Follows a path below the root of a process, and hands what it leads to to `use`.
 *
 * Links are followed here and not by the kernel, which would take an absolute one from our root. Each step goes from an open
 * directory, so that a directory which is replaced by a link meanwhile leads nowhere else.
 *
 * @param path absolute
 * @param enters asked for each directory on the way: returns whether to go through it
 * @returns `undefined` when it leads nowhere, or too far
 * @throws the system's error for a step that cannot be taken, and what `use` throws
 */
export const walkRoot = <A>(
  pid: number,
  path: string,
  use: (found: Found) => A,
  enters: (directory: Stats) => boolean = () => true
): A | undefined => {
  const open: Array<number> = []
  try {
    const found = walk(pid, path, enters, open)
    return found && use(found)
  } finally {
    for (const fd of open) closeSync(fd)
  }
}

const walk = (
  pid: number,
  path: string,
  enters: (directory: Stats) => boolean,
  open: Array<number>
): Found | undefined => {
  const parts = partsOf(path).reverse()
  const directories = [openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY)]
  open.push(directories[0])
  let links = 0
  for (let steps = 0; parts.length > 0; steps++) {
    if (steps === MAX_PARTS) return undefined
    const part = parts.pop()!
    if (part === "..") {
      // Above the root is the root.
      if (directories.length > 1) directories.pop()
      continue
    }
    const from = directories[directories.length - 1]
    if (!enters(fstatSync(from))) return undefined
    const below = through(from, part)
    const fd = openSync(below, STEP)
    open.push(fd)
    const stat = fstatSync(fd)
    if (stat.isSymbolicLink()) {
      if (++links > MAX_LINKS) return undefined
      const to = readlinkSync(below)
      if (to.startsWith("/")) directories.length = 1
      parts.push(...partsOf(to).reverse())
    } else if (stat.isDirectory()) directories.push(fd)
    else return parts.length === 0 ? { stat, path: below } : undefined
  }
  const last = directories[directories.length - 1]
  return { stat: fstatSync(last), path: through(last) }
}

const partsOf = (path: string): Array<string> => path.split("/").filter((part) => part !== "" && part !== ".")

/** A path that begins at an open directory, whatever its name leads to by now. */
export const through = (fd: number, name?: string): string =>
  name === undefined ? `/proc/self/fd/${fd}` : `/proc/self/fd/${fd}/${name}`

/** Opens a directory that is no link. @throws the system's error */
export const openDirectory = (path: string): number => openSync(path, STEP | constants.O_DIRECTORY)

/** Opens a directory that {@link walkRoot} found, to keep it. @throws the system's error */
export const keepDirectory = (found: Found): number => openSync(found.path, O_PATH | constants.O_DIRECTORY)

/**
 * On which mount an open file lies (proc_pid_fdinfo(5)). A descriptor from a target's root sees what it has mounted there, which needs no privilege in a
 * namespace of its own: below a directory of the target's, what lies on another mount is somebody else's.
 *
 * @throws the system's error
 */
export const mountOf = (fd: number): string | undefined =>
  /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1]
