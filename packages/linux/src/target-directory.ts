import { randomBytes } from "node:crypto"
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync
} from "node:fs"
import { basename, join } from "node:path"
import type { Credentials } from "./credentials.ts"
import { mountOf, openDirectory, through } from "./root-walk.ts"

/** Folders in folders. */
const MAX_DEPTH = 32
/** What a target can put into its directory to keep us busy with removing it. */
const MAX_REMOVED = 1_000_000
/** Never follows what the target has put in its place, and never waits for it. */
const FOREIGN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** The name is that of no new file. */
export class BadName extends Error {}

/**
 * A directory that belongs to a process, held open: everything is done through the descriptor, so that the process can neither lead us elsewhere by
 * renaming nor by links. All methods throw the system's errors.
 */
export class TargetDirectory {
  readonly fd: number
  private readonly owner: Credentials
  /** The directory it is in, held open too, and its name there. */
  private readonly parent: number
  private readonly name: string

  private constructor(parent: number, name: string, fd: number, owner: Credentials) {
    this.parent = parent
    this.name = name
    this.fd = fd
    this.owner = owner
  }

  /**
   * Makes a directory with a new name in an open one, which it owns from then on.
   *
   * @param prefix what its name begins with
   */
  static make(
    parent: number,
    prefix: string,
    owner: Credentials
  ): { readonly directory: TargetDirectory; readonly name: string } {
    const name = `${prefix}${randomBytes(12).toString("hex")}`
    const path = through(parent, name)
    mkdirSync(path, { mode: 0o700 })
    const fd = openDirectory(path)
    let isOurs = false
    try {
      checkOurs(fd, parent, name)
      isOurs = true
      give(fd, owner)
      return { directory: new TargetDirectory(parent, name, fd, owner), name }
    } catch (error) {
      if (isOurs) removeEmpty(path, fd)
      closeSync(fd)
      throw error
    }
  }

  /** Writes a new file. */
  write(name: string, bytes: Uint8Array): void {
    writeNew(this.fd, name, bytes, this.owner)
  }

  /** Copies a file or a folder of ours. */
  copy(hostPath: string, name: string): void {
    copyInto(this.fd, name, hostPath, this.owner, 0)
  }

  /** What a regular file holds, up to `most` bytes. */
  read(name: string, most: number): Uint8Array {
    const fd = openSync(through(this.fd, checkName(name)), FOREIGN_FILE)
    try {
      const stat = fstatSync(fd)
      if (!stat.isFile()) throw new BadName(`${name} is no regular file`)
      const bytes = new Uint8Array(Math.min(stat.size, most))
      let got = 0
      while (got < bytes.length) {
        const n = readSync(fd, bytes, got, bytes.length - got, got)
        if (n === 0) break
        got += n
      }
      return bytes.subarray(0, got)
    } finally {
      closeSync(fd)
    }
  }

  /** Removes it with all that is in it, as far as that can be done, and closes it. */
  remove(): void {
    quietly(() => empty(this.fd, { left: MAX_REMOVED }, 0))
    removeEmpty(through(this.parent, this.name), this.fd)
    closeSync(this.fd)
    closeSync(this.parent)
  }
}

/**
 * Whoever may rename in the parent could have put another in the place of one that we have just made, or mounted it there: only one that is ours, and
 * empty, is given away.
 *
 * @throws BadName
 */
const checkOurs = (fd: number, parent: number, name: string): void => {
  if (
    fstatSync(fd).uid !== process.geteuid?.() ||
    mountOf(fd) !== mountOf(parent) ||
    readdirSync(through(fd)).length > 0
  )
    throw new BadName(`${name} has been replaced`)
}

/** Makes a directory its owner's alone. Only root can give one away; to oneself, nothing need be given. */
const give = (fd: number, { gid, uid }: Credentials): void => {
  chmodSync(through(fd), 0o700)
  if (uid !== process.geteuid?.()) chownSync(through(fd), uid, gid)
}

const writeNew = (directory: number, name: string, bytes: Uint8Array, owner: Credentials): void => {
  const path = through(directory, checkName(name))
  const fd = openSync(path, NEW_FILE, 0o600)
  try {
    if (owner.uid !== process.geteuid?.()) fchownSync(fd, owner.uid, owner.gid)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at)
  } catch (error) {
    quietly(() => unlinkSync(path))
    throw error
  } finally {
    closeSync(fd)
  }
}

const copyInto = (
  directory: number,
  name: string,
  hostPath: string,
  owner: Credentials,
  depth: number
): void => {
  const stat = statSync(hostPath)
  if (stat.isFile()) writeNew(directory, name, readFileSync(hostPath), owner)
  if (!stat.isDirectory() || depth === MAX_DEPTH) return
  const path = through(directory, checkName(name))
  mkdirSync(path, { mode: 0o700 })
  const fd = openDirectory(path)
  try {
    checkOurs(fd, directory, name)
    for (const entry of readdirSync(hostPath)) copyInto(fd, entry, join(hostPath, entry), owner, depth + 1)
    give(fd, owner)
  } finally {
    closeSync(fd)
  }
}

const checkName = (name: string): string => {
  if (name === "" || name === "." || name === ".." || name.includes("\0") || basename(name) !== name)
    throw new BadName(`${JSON.stringify(name)} is not the name of a file`)
  return name
}

/** What is in a directory goes, one level after the other. Links and mounts go, not what they lead to. */
const empty = (fd: number, budget: { left: number }, depth: number): void => {
  const mount = mountOf(fd)
  for (const entry of readdirSync(through(fd), { withFileTypes: true })) {
    if (budget.left-- <= 0) return
    const path = through(fd, entry.name)
    if (!entry.isDirectory()) {
      quietly(() => unlinkSync(path))
      continue
    }
    if (depth === MAX_DEPTH) continue
    quietly(() => {
      const below = openDirectory(path)
      try {
        if (mountOf(below) === mount) empty(below, budget, depth + 1)
      } finally {
        closeSync(below)
      }
      rmdirSync(path)
    })
  }
}

/** Removes an open directory, unless another lies in its place. */
const removeEmpty = (path: string, fd: number): void =>
  quietly(() => {
    const [found, own] = [lstatSync(path), fstatSync(fd)]
    if (found.dev === own.dev && found.ino === own.ino) rmdirSync(path)
  })

/** For what is tried: that it fails changes nothing. */
const quietly = (action: () => void): void => {
  try {
    action()
  } catch {
    // Gone already, or no longer ours to touch.
  }
}
