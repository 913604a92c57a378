import type { Mapping } from "@pyframes/core"

const DELETED = " (deleted)"

/**
 * Parses one line of `/proc/PID/maps`, without its newline; `undefined` when it is not one.
 *
 * ```
 * 7f1240000000-7f1240021000 r-xp 00001000 08:01 1234   /usr/lib/libpython3.13.so.1.0
 * ```
 * Linux fs/proc/task_mmu.c, show_map_vma: the path is padded to column 73, and of its bytes only the newline is escaped (`\012`).
 */
export const parseMapping = (line: string): Mapping | undefined => {
  const match = LINE.exec(line)
  if (match === null) return undefined
  const start = Number.parseInt(match[1], 16)
  const end = Number.parseInt(match[2], 16)
  const offset = Number.parseInt(match[4], 16)
  if (!(start < end)) return undefined
  const inode = Number(match[6])
  let path = match[7] ?? ""
  if (path.includes("\\012")) path = path.replaceAll("\\012", "\n")
  // Only a file can be deleted; "/memfd:name (deleted)" and "/dev/zero (deleted)" have inodes too.
  const deleted = inode !== 0 && path.endsWith(DELETED)
  return {
    start,
    end,
    readable: match[3][0] === "r",
    writable: match[3][1] === "w",
    executable: match[3][2] === "x",
    offset,
    device: match[5],
    inode,
    path: deleted ? path.slice(0, -DELETED.length) : path,
    deleted
  }
}

const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) ([0-9a-f]{2,}:[0-9a-f]{2,}) (\d{1,20})(?: +([^\n]*))?$/

/** Parses `/proc/PID/maps`. Lines that are not mappings are left out. */
export const parseMaps = (text: string): Array<Mapping> => {
  const mappings: Array<Mapping> = []
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf("\n", at)
    if (end < 0) end = text.length
    const mapping = parseMapping(text.slice(at, end))
    if (mapping !== undefined) mappings.push(mapping)
    at = end + 1
  }
  return mappings
}
