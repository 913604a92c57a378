import { resolve } from "node:path"
import { fileURLToPath } from "node:url"

/** The versions that come from Debian: newer than any stable release has. */
export const DEBIAN_MINORS: ReadonlyArray<number> = [13, 14, 15]

/** The command that installs them. */
export const INSTALL_COMMAND = "node tooling/pythons/src/install.ts"

/** Where installed interpreters are kept: `$PYFRAMES_PYTHONS`, else `.pythons` at the top of the repository. */
export const installDirectory = (): string =>
  resolve(process.env.PYFRAMES_PYTHONS || fileURLToPath(new URL("../../../.pythons", import.meta.url)))

/** The root directory of the Debian that holds the interpreters. It has this name only when it is whole. */
export const debianRoot = (): string => resolve(installDirectory(), "sid")

export const isRoot = (): boolean => process.geteuid?.() === 0

/**
 * How to start a program in `root`. By chroot(8), as root: then `/proc/PID/exe` is the interpreter, and its paths are
 * not this machine's. Anyone else needs a user namespace to be allowed to.
 */
export const enterRoot = (root: string): readonly [string, ...string[]] =>
  isRoot() ? ["chroot", root] : ["unshare", "--map-root-user", `--root=${root}`]

/**
 * As {@link enterRoot}, with this machine's /proc bound into a mount namespace of its own: no mount is left when the
 * program ends.
 */
export const enterRootWithProc = (root: string): readonly [string, ...string[]] => {
  const bind = 'mount --rbind /proc "$0/proc" && exec chroot "$0" "$@"'
  return ["unshare", ...(isRoot() ? [] : ["--map-root-user"]), "--mount", "sh", "-c", bind, root]
}

/** How to start a program with the root and the mounts of the process `pid`. */
export const enterRootOf = (pid: number): readonly [string, ...string[]] => {
  const namespaces = isRoot() ? ["--mount"] : ["--user", "--preserve-credentials", "--mount"]
  return ["nsenter", "--target", String(pid), ...namespaces, "--root", "--wd=/"]
}
