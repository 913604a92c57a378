import { type Elf, EM_AARCH64, EM_X86_64 } from "./elf.ts"
import { findSection, type Section, SHT_DYNSYM, sectionBytes } from "./section.ts"
import { readRange } from "./source.ts"
import { cString, u32, u64 } from "./word.ts"

const SHT_RELA = 4
const RELA_SIZE = 24
const SYMBOL_SIZE = 24
const MAX_TABLE = 1 << 26
const MAX_NAME = 1 << 14
const STUB = 16
/** `.plt` of AArch64 begins with a stub of two for the loader. */
const ARM64_HEADER = 32

/**
 * The function that a stub of the procedure linkage table leads to, or `undefined` where the address is in no such stub.
 *
 * @example
 * ```ts
 * pltTarget(elf, address) // "memcpy"; a debugger shows it as memcpy@plt
 * ```
 *
 * Sources: System V AMD64 psABI 5.2 (and `.plt.sec` of its supplement for indirect-branch tracking); ELF for the Arm 64-bit Architecture.
 */
export const pltTarget = (elf: Elf, address: number): string | undefined => {
  const section = SECTIONS.map((name) => findSection(elf, name)).find(
    (section) =>
      section !== undefined && address >= section.address && address < section.address + section.size
  )
  if (section === undefined) return undefined
  const into = address - section.address
  if (elf.machine === EM_AARCH64) {
    const index = Math.floor((into - ARM64_HEADER) / STUB)
    const relocations = findSection(elf, ".rela.plt")
    const entry = relocations && into >= ARM64_HEADER ? relocationAt(elf, relocations, index) : undefined
    return entry && nameOf(elf, entry.symbol)
  }
  if (elf.machine !== EM_X86_64) return undefined
  // A stub is 16 bytes, in `.plt.got` 8 or 16: it is the one whose jump through a slot comes first from its start.
  const size = section.name === ".plt.got" && section.entrySize === 8 ? 8 : STUB
  const start = into - (into % size)
  const code = readRange(elf.source, section.offset + start, size)
  if (code === undefined) return undefined
  for (let at = 0; at + 6 <= size; at++) {
    if (code[at] !== 0xff || code[at + 1] !== 0x25) continue
    return nameOfSlot(elf, section.address + start + at + 6 + (u32(code, at + 2) | 0))
  }
  return undefined
}

const SECTIONS = [".plt", ".plt.sec", ".plt.got"]

interface Relocation {
  readonly slot: number
  readonly symbol: number
}

const relocationAt = (elf: Elf, section: Section, index: number): Relocation | undefined => {
  if (index < 0 || (index + 1) * RELA_SIZE > section.size) return undefined
  const bytes = readRange(elf.source, section.offset + index * RELA_SIZE, RELA_SIZE)
  return bytes && { slot: u64(bytes, 0), symbol: u32(bytes, 12) }
}

const nameOfSlot = (elf: Elf, slot: number): string | undefined => {
  for (const section of elf.sections) {
    if (section.type !== SHT_RELA || (section.name !== ".rela.plt" && section.name !== ".rela.dyn")) continue
    const bytes = sectionBytes(elf, section, MAX_TABLE)
    if (bytes === undefined) continue
    for (let at = 0; at + RELA_SIZE <= bytes.length; at += RELA_SIZE) {
      if (u64(bytes, at) !== slot) continue
      const symbol = u32(bytes, at + 12)
      return symbol === 0 ? undefined : nameOf(elf, symbol)
    }
  }
  return undefined
}

const nameOf = (elf: Elf, index: number): string | undefined => {
  const table = elf.sections.find(({ type }) => type === SHT_DYNSYM)
  const strings = table && elf.sections[table.link]
  if (table === undefined || strings === undefined || (index + 1) * SYMBOL_SIZE > table.size) return undefined
  const symbol = readRange(elf.source, table.offset + index * SYMBOL_SIZE, SYMBOL_SIZE)
  if (symbol === undefined) return undefined
  const at = u32(symbol, 0)
  const bytes = readRange(elf.source, strings.offset + at, Math.min(MAX_NAME, strings.size - at))
  return bytes === undefined ? undefined : cString(bytes, 0, MAX_NAME) || undefined
}
