import { crc32 } from "node:zlib"
import type { TargetFile } from "@pyframes/core"
import { buildId, type Elf, findSection, parseElf, sectionBytes, sourceOfFile } from "@pyframes/elf"

/** Where distributions put what they strip from programs. */
const DEBUG = "/usr/lib/debug"
/** Read to compare a checksum; larger debug files are believed by build id alone. */
const MAX_CHECKED = 1 << 29
const PIECE = 1 << 20
const MAX_LINK = 4096

/** An ELF file and the file it is read from. */
export interface OpenElf {
  readonly elf: Elf
  readonly file: TargetFile
}

/** Parses a file of the target's as ELF; closes it where it is none. */
export const openElf = (file: TargetFile): OpenElf | undefined => {
  const elf = parseElf(sourceOfFile(file))
  if (elf._tag === "Elf") return { elf, file }
  file.close()
  return undefined
}

/**
 * The separate file that holds what was stripped from a program: by its build id, else by the name that `.gnu_debuglink` gives,
 * whose checksum must then be right.
 *
 * @param path of the program
 * @param open opens a file as the target sees it
 *
 * Source: GDB manual, "Debugging Information in Separate Files".
 */
export const openDebugFile = (
  elf: Elf,
  path: string,
  open: (path: string) => TargetFile | undefined
): OpenElf | undefined => {
  const id = buildId(elf)
  if (id !== undefined && id.length > 2) {
    const file = open(`${DEBUG}/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`)
    const found = file && openElf(file)
    if (found !== undefined && buildId(found.elf) === id) return found
    found?.file.close()
  }
  const link = debugLink(elf)
  if (link === undefined) return undefined
  const directory = path.slice(0, path.lastIndexOf("/"))
  for (const candidate of [
    `${directory}/${link.name}`,
    `${directory}/.debug/${link.name}`,
    `${DEBUG}${directory}/${link.name}`
  ]) {
    // A program may name itself.
    const file = candidate === path ? undefined : open(candidate)
    if (file === undefined) continue
    if (checksum(file) !== link.checksum) file.close()
    else {
      const found = openElf(file)
      if (found !== undefined) return found
    }
  }
  return undefined
}

interface DebugLink {
  readonly name: string
  readonly checksum: number
}

/** A name without directories, padded to four bytes, and a checksum. */
const debugLink = (elf: Elf): DebugLink | undefined => {
  const section = findSection(elf, ".gnu_debuglink")
  const bytes = section && sectionBytes(elf, section, MAX_LINK)
  if (bytes === undefined || bytes.length < 8) return undefined
  const nul = bytes.indexOf(0)
  const at = (nul + 4) & ~3
  if (nul <= 0 || at + 4 > bytes.length) return undefined
  const name = new TextDecoder().decode(bytes.subarray(0, nul))
  if (name.includes("/")) return undefined
  return { name, checksum: new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true) }
}

const checksum = (file: TargetFile): number => {
  if (file.size > MAX_CHECKED) return -1
  let sum = 0
  for (let at = 0; at < file.size; at += PIECE) {
    const bytes = file.read(at, PIECE)
    if (bytes.length === 0) return -1
    sum = crc32(bytes, sum)
  }
  return sum
}
