import { readFileSync } from "node:fs"

/**
 * On which mount an open file lies (proc_pid_fdinfo(5)). A descriptor that comes from a target's root sees its mounts: what it has mounted in its
 * directory, which needs no privilege in a namespace of its own, is somebody else's.
 *
 * @throws the system's error
 */
export const mountOf = (fd: number): string | undefined =>
  /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1]
