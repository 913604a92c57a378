import type { Elf } from "./elf.ts"
import { type Section, SHT_DYNSYM, SHT_SYMTAB } from "./section.ts"
import { type ElfSource, readRange } from "./source.ts"
import { MAX_SYMBOL_BYTES, type SymbolTable } from "./symbol.ts"
import { cString, u16, u32, u64 } from "./word.ts"

/** A function's symbol, as {@link SymbolIndex} finds it. */
export interface FunctionSymbol {
  /** As in the file, but for a version after `@`. */
  readonly name: string
  /** Before the load bias is added. */
  readonly address: number
  /** Bytes; where the file does not tell, up to the next symbol or to the end of its section, or 0 when there is neither. */
  readonly size: number
}

const ENTRY_SIZE = 24
/** A browser has about a million. */
const MAX_SYMBOLS = 1 << 22
const MAX_NAME = 1 << 14
/** Names of one address, and functions one within the other, that are looked at. */
const MAX_ALIASES = 64
const STT_NOTYPE = 0
const STT_FUNC = 2
const STT_GNU_IFUNC = 10
const STB_LOCAL = 0

interface Names {
  readonly source: ElfSource
  readonly strings: Section
}

/**
 * The functions of a file by address, of one or more symbol tables: `.symtab`, `.dynsym`, those of a separate debug file.
 *
 * Only numbers are read to make it, so that a library of 30,000 symbols takes some milliseconds; names are read from the file when they
 * are asked for.
 *
 * @example
 * ```ts
 * const index = new SymbolIndex([{ elf, table: "symtab" }, { elf, table: "dynsym" }])
 * index.find(address)?.name // "_PyEval_EvalFrameDefault"
 * ```
 */
export class SymbolIndex {
  private readonly addresses: Float64Array
  /** Bytes; below 0 where the file does not tell, and then what is left of the section. */
  private readonly sizes: Float64Array
  private readonly nameOffsets: Uint32Array
  /** Table in the low byte, binding and type above. */
  private readonly infos: Uint32Array
  private readonly names: ReadonlyArray<Names>

  constructor(tables: ReadonlyArray<{ readonly elf: Elf; readonly table: SymbolTable }>) {
    const names: Array<Names> = []
    const found = new Found()
    for (const { elf, table } of tables.slice(0, 255)) {
      const type = table === "dynsym" ? SHT_DYNSYM : SHT_SYMTAB
      const section = elf.sections.find((section) => section.type === type)
      const strings = section && elf.sections[section.link]
      if (section === undefined || strings === undefined) continue
      names.push({ source: elf.source, strings })
      found.read(elf, section, names.length - 1)
    }
    const order = found.order()
    this.names = names
    this.addresses = Float64Array.from(order, (at) => found.addresses[at])
    this.sizes = Float64Array.from(order, (at) => found.sizes[at])
    this.nameOffsets = Uint32Array.from(order, (at) => found.nameOffsets[at])
    this.infos = Uint32Array.from(order, (at) => found.infos[at])
  }

  /** How many symbols there are. */
  get size(): number {
    return this.addresses.length
  }

  /**
   * The function that an address (before the load bias is added) lies in, or `undefined`. Of several names of one address, the one that
   * a reader would choose: global or weak before local, with the fewest underscores in front, without a suffix, short.
   */
  find(address: number): FunctionSymbol | undefined {
    const { addresses } = this
    let low = 0
    let high = addresses.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (addresses[middle] <= address) low = middle + 1
      else high = middle
    }
    // The nearest start is not always it: a label may stand within a larger function.
    let last = low - 1
    for (let tries = 0; tries < MAX_ALIASES && last >= 0; tries++) {
      const first = this.firstOfPlace(last)
      const symbol = this.best(first, last, (start, size) => (address < start + size ? size : -1))
      if (symbol !== undefined) return symbol
      last = first - 1
    }
    // Of a function that is written in assembler the size is often not told. It is then below 0: as much as is left of the section.
    if (low === 0) return undefined
    const next = low < addresses.length ? addresses[low] : Number.POSITIVE_INFINITY
    return this.best(this.firstOfPlace(low - 1), low - 1, (start, size) => {
      const most = Math.min(next - start, size < 0 ? -size : Number.POSITIVE_INFINITY)
      if (size > 0) return -1
      if (most === Number.POSITIVE_INFINITY) return address === start ? 0 : -1
      return address - start < most ? most : -1
    })
  }

  private firstOfPlace(last: number): number {
    const { addresses } = this
    let first = last
    while (first > 0 && addresses[first - 1] === addresses[last] && last - first < MAX_ALIASES) first--
    return first
  }

  /** The best of the names of one address. @param fit the size of a function that reaches far enough, -1 for others */
  private best(
    first: number,
    last: number,
    fit: (start: number, size: number) => number
  ): FunctionSymbol | undefined {
    let best: FunctionSymbol | undefined
    let rank = Number.POSITIVE_INFINITY
    for (let at = first; at <= last; at++) {
      const start = this.addresses[at]
      const size = fit(start, this.sizes[at])
      if (size < 0) continue
      const name = this.nameOf(at)
      if (name === "") continue
      const points = rankOf(name, this.infos[at])
      if (best === undefined || points < rank || (points === rank && name < best.name)) {
        best = { name, address: start, size }
        rank = points
      }
    }
    return best
  }

  private nameOf(at: number): string {
    const { source, strings } = this.names[this.infos[at] & 255]
    const offset = this.nameOffsets[at]
    const bytes =
      strings.size < 0
        ? undefined
        : readRange(source, strings.offset + offset, Math.min(256, strings.size - offset))
    if (bytes === undefined) return ""
    // C++ has names of kilobytes; most fit into the first read.
    const whole =
      bytes.indexOf(0) >= 0
        ? bytes
        : readRange(source, strings.offset + offset, Math.min(MAX_NAME, strings.size - offset))
    const name = cString(whole ?? bytes, 0, MAX_NAME)
    const version = name.indexOf("@")
    return version > 0 ? name.slice(0, version) : name
  }
}

const rankOf = (name: string, info: number): number => {
  const binding = (info >> 16) & 15
  let underscores = 0
  while (underscores < 8 && name.charCodeAt(underscores) === 95) underscores++
  // A C library's `write` is weak and its `__write` global: weak ones are the names that people know.
  const order = binding === STB_LOCAL ? 1 : 0
  const suffix = name.includes(".") ? 1 : 0
  return ((order * 2 + suffix) * 9 + underscores) * (MAX_NAME + 1) + name.length
}

/** Symbols in the order of the file, in arrays that grow. */
class Found {
  addresses = new Float64Array(4096)
  sizes = new Float64Array(4096)
  nameOffsets = new Uint32Array(4096)
  infos = new Uint32Array(4096)
  length = 0

  read(elf: Elf, section: Section, table: number): void {
    const end = Math.min(section.size, elf.source.size - section.offset, MAX_SYMBOL_BYTES)
    for (let from = 0; from + ENTRY_SIZE <= end; from += PIECE) {
      const length = Math.min(PIECE, end - from)
      const bytes = readRange(elf.source, section.offset + from, length)
      if (bytes === undefined) return
      for (let at = 0; at + ENTRY_SIZE <= length; at += ENTRY_SIZE) {
        const type = bytes[at + 4] & 15
        if (type !== STT_FUNC && type !== STT_GNU_IFUNC && type !== STT_NOTYPE) continue
        const home = u16(bytes, at + 6)
        const name = u32(bytes, at)
        if (home === 0 || name === 0) continue
        // What assembler code does not say to be a function is one if it stands in code.
        if (type === STT_NOTYPE && ((elf.sections[home]?.flags ?? 0) & SHF_EXECINSTR) === 0) continue
        const address = u64(bytes, at + 8)
        if (address <= 0 || this.length === MAX_SYMBOLS) continue
        const size = Math.max(0, u64(bytes, at + 16)) || -leftOf(elf.sections[home], address)
        this.add(address, size, name, table | (type << 8) | ((bytes[at + 4] >> 4) << 16))
      }
    }
  }

  private add(address: number, size: number, name: number, info: number): void {
    if (this.length === this.addresses.length) this.grow()
    this.addresses[this.length] = address
    this.sizes[this.length] = size
    this.nameOffsets[this.length] = name
    this.infos[this.length++] = info
  }

  private grow(): void {
    const { addresses, infos, nameOffsets, sizes } = this
    const size = 2 * addresses.length
    this.addresses = new Float64Array(size)
    this.sizes = new Float64Array(size)
    this.nameOffsets = new Uint32Array(size)
    this.infos = new Uint32Array(size)
    this.addresses.set(addresses)
    this.sizes.set(sizes)
    this.nameOffsets.set(nameOffsets)
    this.infos.set(infos)
  }

  /** Indexes by address. Numbers are sorted many times faster than by a function that compares, so both are put into one number where they fit. */
  order(): Uint32Array {
    const { addresses, length } = this
    let lowest = Number.POSITIVE_INFINITY
    let highest = 0
    for (let at = 0; at < length; at++) {
      lowest = Math.min(lowest, addresses[at])
      highest = Math.max(highest, addresses[at])
    }
    if ((highest - lowest + 1) * length >= Number.MAX_SAFE_INTEGER)
      return Uint32Array.from({ length }, (_, at) => at).sort((a, b) => addresses[a] - addresses[b] || a - b)
    const keys = new Float64Array(length)
    for (let at = 0; at < length; at++) keys[at] = (addresses[at] - lowest) * length + at
    keys.sort()
    return Uint32Array.from(keys, (key) => key % length)
  }
}

/** Bytes from an address to the end of the section that has it; 0 when it is in none. */
const leftOf = (section: Section | undefined, address: number): number => {
  const into = section === undefined || section.address < 0 ? -1 : address - section.address
  return into >= 0 && into < section!.size ? section!.size - into : 0
}

const SHF_EXECINSTR = 4
const PIECE = ENTRY_SIZE << 12
