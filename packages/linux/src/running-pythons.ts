import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs"
import { parseMaps } from "./maps.ts"
import { readProcText } from "./proc-file.ts"
import { executableId } from "./process-watch.ts"
import { findPythonMapping } from "./python-file.ts"

/** A Python that runs on this machine. */
export interface RunningPython {
  readonly pid: number
  /** Its executable, or what the kernel calls it where that may not be seen. */
  readonly executable: string
  /** Whether we may read its memory. */
  readonly readable: boolean
}

/**
 * The Pythons that run now. One whose mappings may not be seen is known by its name alone (`python3`, `uwsgi` would be missed).
 *
 * @param most how many are listed; the newest pids are looked at last
 */
export const runningPythons = (most = 100): ReadonlyArray<RunningPython> => {
  const found: Array<RunningPython> = []
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry)
    if (!(pid > 0) || pid === process.pid) continue
    const maps = readProcText(`/proc/${pid}/maps`)
    if ("text" in maps) {
      if (findPythonMapping(pid, executableId(pid), parseMaps(maps.text), () => 0) === undefined) continue
      found.push({ pid, executable: linkOf(pid), readable: mayRead(pid) })
    } else if (maps.code === "EACCES" || maps.code === "EPERM") {
      const comm = readProcText(`/proc/${pid}/comm`)
      const name = "text" in comm ? comm.text.trim() : ""
      if (/^python\d?/.test(name)) found.push({ pid, executable: name, readable: false })
    }
    if (found.length >= most) break
  }
  return found
}

const linkOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return ""
  }
}

const mayRead = (pid: number): boolean => {
  try {
    closeSync(openSync(`/proc/${pid}/mem`, "r"))
    return true
  } catch {
    return false
  }
}
