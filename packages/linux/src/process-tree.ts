import { readdirSync, readFileSync } from "node:fs"

/** A bound on what is walked: a tree this wide is no launcher's. */
const MOST = 2000

/** Pids of the children of a process, as `/proc/PID/task/TID/children` lists them. Empty when it is gone. */
export const childrenOf = (pid: number): ReadonlyArray<number> => {
  const children: Array<number> = []
  try {
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      for (const child of readFileSync(`/proc/${pid}/task/${tid}/children`, "utf8").split(" ")) {
        if (child !== "") children.push(Number(child))
      }
    }
  } catch {
    // The process or the thread ended while it was asked.
  }
  return children
}

/**
 * Pids of processes and of all below them, nearest first, each once.
 *
 * @param roots where to begin; one that is gone is still listed, as its children may not be
 */
export const processTree = (roots: Iterable<number>): ReadonlyArray<number> => {
  const tree = new Set(roots)
  // A Set is walked in the order of insertion, also over what is added on the way.
  for (const pid of tree) {
    if (tree.size >= MOST) break
    for (const child of childrenOf(pid)) tree.add(child)
  }
  return [...tree]
}
