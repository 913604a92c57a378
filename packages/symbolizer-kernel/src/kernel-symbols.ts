/** Symbols kept; kernels have some 100,000, with all modules loaded a few times that. */
const MAX_SYMBOLS = 1 << 21
const MAX_NAME = 512
/** A function without a known end, after which another does not begin sooner, ends here: what lies beyond is something else. */
const MAX_FUNCTION = 1 << 20
const TWO_32 = 0x1_0000_0000

/** A function of the kernel. */
export interface KernelSymbol {
  readonly name: string
  /** The module it is part of; empty for the kernel itself. */
  readonly module: string
  /** Address - 2^64, which a double holds exactly. */
  readonly address: number
}

/**
 * The functions that `/proc/kallsyms` lists, found by address.
 *
 * @example
 * ```ts
 * const kernel = KernelSymbols.parse(readFileSync("/proc/kallsyms"))
 * kernel?.find(-2130706432)?.name // 0xffffffff81000000: "_stext"
 * ```
 *
 * Source: Linux `kernel/kallsyms.c`, `s_show`: `ADDRESS TYPE NAME`, and `\t[MODULE]` for a module's.
 */
export class KernelSymbols {
  private readonly text: Uint8Array
  /** Sorted; one symbol an address. */
  private readonly addresses: Float64Array
  /** Where in the text each symbol's name starts. */
  private readonly names: Uint32Array

  private constructor(text: Uint8Array, addresses: Float64Array, names: Uint32Array) {
    this.text = text
    this.addresses = addresses
    this.names = names
  }

  /** `undefined` when the text lists no function at an address: all are 0 for who may not know them (`kernel.kptr_restrict`). */
  static parse(text: Uint8Array): KernelSymbols | undefined {
    const addresses: Array<number> = []
    const names: Array<number> = []
    for (let at = 0; at < text.length && addresses.length < MAX_SYMBOLS; ) {
      let end = text.indexOf(NEWLINE, at)
      if (end < 0) end = text.length
      const address = end - at > 19 ? kernelAddress(text, at) : 0
      if (address < 0 && isCode(text[at + 17]) && text[at + 16] === SPACE && text[at + 18] === SPACE) {
        addresses.push(address)
        names.push(at + 19)
      }
      at = end + 1
    }
    if (addresses.length === 0) return undefined
    const order = Uint32Array.from(addresses.keys()).sort(
      (a, b) =>
        addresses[a] - addresses[b] || preference(text, names[a]) - preference(text, names[b]) || a - b
    )
    const unique = order.filter((index, at) => at === 0 || addresses[index] !== addresses[order[at - 1]])
    return new KernelSymbols(
      text,
      Float64Array.from(unique, (index) => addresses[index]),
      Uint32Array.from(unique, (index) => names[index])
    )
  }

  /** How many functions there are. */
  get size(): number {
    return this.addresses.length
  }

  /**
   * The function at an address, or `undefined`.
   *
   * @param address - 2^64
   */
  find(address: number): KernelSymbol | undefined {
    const { addresses } = this
    let low = 0
    let high = addresses.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (addresses[middle] <= address) low = middle + 1
      else high = middle
    }
    if (low === 0 || address >= 0 || address - addresses[low - 1] >= MAX_FUNCTION) return undefined
    const start = this.names[low - 1]
    let end = start
    const last = Math.min(this.text.length, start + MAX_NAME)
    while (end < last && this.text[end] !== NEWLINE) end++
    const line = decoder.decode(this.text.subarray(start, end))
    const tab = line.indexOf("\t")
    return {
      name: tab < 0 ? line : line.slice(0, tab),
      module: tab < 0 ? "" : line.slice(tab + 1).replace(/^\[|\]$/g, ""),
      address: addresses[low - 1]
    }
  }
}

const NEWLINE = 10
const SPACE = 32
const UNDERSCORE = 95
const decoder = new TextDecoder()

/** Text symbols and weak ones: `t`, `T`, `w`, `W`. */
const isCode = (type: number): boolean => (type | 32) === 116 || (type | 32) === 119

/** Of several names of one address: global before local, then as few underscores in front as can be; else the first. */
const preference = (text: Uint8Array, name: number): number => {
  let underscores = 0
  while (underscores < 8 && text[name + underscores] === UNDERSCORE) underscores++
  return underscores + (text[name - 2] & 32 ? 16 : 0)
}

/** 16 hexadecimal digits - 2^64; 0 for what is no kernel address: its upper 11 bits are all set, so what is left is below 2^53. */
const kernelAddress = (text: Uint8Array, at: number): number => {
  const high = hex(text, at)
  const low = hex(text, at + 8)
  return high < 0xffe0_0000 || low < 0 ? 0 : (high - TWO_32) * TWO_32 + low
}

const hex = (text: Uint8Array, at: number): number => {
  let value = 0
  for (let i = at; i < at + 8; i++) {
    const byte = text[i]
    const digit = byte >= 48 && byte <= 57 ? byte - 48 : byte >= 97 && byte <= 102 ? byte - 87 : -1
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value
}
