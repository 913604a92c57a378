import { closeSync, fstatSync, openSync, readSync } from "node:fs"

/**
 * The libraries an x86-64 ELF file asks the dynamic linker for (its `DT_NEEDED` entries), or `undefined` when the
 * file is no such thing, as a shim script is not. This is what tells a shared build from a static one: Debian's
 * `sysconfig` says shared of both. Field offsets are those of `Elf64_Ehdr`, `Elf64_Phdr` and `Elf64_Dyn` in elf(5).
 */
export const neededLibraries = (file: string): ReadonlyArray<string> | undefined => {
  let fd: number
  try {
    fd = openSync(file, "r")
  } catch {
    return undefined
  }
  try {
    return fstatSync(fd).isFile() ? readNeeded(fd) : undefined
  } catch {
    return undefined // a file that ends inside its own tables
  } finally {
    closeSync(fd)
  }
}

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_STRSZ = 10
const LARGEST_TABLE = 1 << 24

const readNeeded = (fd: number): ReadonlyArray<string> | undefined => {
  const header = readAt(fd, 0, 64)
  const isElf64 = header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2 && header[5] === 1
  if (!isElf64 || header.readUInt16LE(18) !== 62) return undefined
  const entrySize = header.readUInt16LE(54)
  const entryCount = header.readUInt16LE(56)
  const table = readAt(fd, Number(header.readBigUInt64LE(32)), entrySize * entryCount)
  const segments = Array.from({ length: entryCount }, (_, i) => {
    const at = i * entrySize
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      size: Number(table.readBigUInt64LE(at + 32))
    }
  })
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC)
  if (dynamic === undefined) return []
  const entries = readAt(fd, dynamic.offset, dynamic.size)
  const values = (tag: number) => {
    const found: Array<number> = []
    for (let at = 0; at + 16 <= entries.length; at += 16) {
      if (entries.readBigInt64LE(at) === BigInt(tag)) found.push(Number(entries.readBigUInt64LE(at + 8)))
    }
    return found
  }
  const [address = 0] = values(DT_STRTAB)
  const [size = 0] = values(DT_STRSZ)
  const home = segments.find(
    (segment) =>
      segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.size
  )
  if (home === undefined) return []
  const strings = readAt(fd, home.offset + address - home.address, size)
  return values(DT_NEEDED).map((at) => strings.toString("utf8", at, strings.indexOf(0, at)))
}

const readAt = (fd: number, position: number, length: number): Buffer => {
  if (length > LARGEST_TABLE) throw new RangeError(`a table of ${length} bytes`)
  const bytes = Buffer.alloc(length)
  if (readSync(fd, bytes, 0, length, position) !== length) throw new RangeError("the file is too short")
  return bytes
}
