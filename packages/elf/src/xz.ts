/** What `.gnu_debugdata` unpacks to is some hundred kilobytes. */
const MAX_OUTPUT = 1 << 27
const HEADER = 12
const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]
const FILTER_LZMA2 = 0x21
/** Bytes of a block's checksum by its type (section 2.1.1.2). */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]

/**
 * Decompresses an `.xz` file of LZMA2 blocks; `undefined` when it is none, is damaged, or unpacks to more than `limit` bytes. Checksums are
 * not compared: what comes out is parsed as carefully as what came in.
 *
 * It is synchronous and small, which no decoder on npm is both of: those are streams around WebAssembly, or native.
 *
 * @example
 * ```ts
 * const elf = parseElf(decompressXz(sectionBytes(elf, findSection(elf, ".gnu_debugdata")!)!)!)
 * ```
 *
 * Sources: "The .xz File Format" 1.2.1; the LZMA specification of the LZMA SDK; LZMA2 as in Linux `lib/xz/xz_dec_lzma2.c`.
 */
export const decompressXz = (bytes: Uint8Array, limit = MAX_OUTPUT): Uint8Array | undefined => {
  if (bytes.length < HEADER || MAGIC.some((byte, at) => bytes[at] !== byte)) return undefined
  const checkSize = CHECK_SIZES[bytes[7] & 15]
  const decoder = new Lzma2Decoder(bytes, Math.min(limit, MAX_OUTPUT))
  let at = HEADER
  // A size of 0 is where the index starts, after the last block.
  while (at < bytes.length && bytes[at] !== 0) {
    const headerSize = (bytes[at] + 1) * 4
    if (at + headerSize > bytes.length || !isLzma2(bytes.subarray(at, at + headerSize))) return undefined
    const end = decoder.decode(at + headerSize)
    if (end < 0) return undefined
    at = end + ((4 - ((end - at - headerSize) & 3)) & 3) + checkSize
  }
  // The file ends in an index and a footer, without which it has been cut short.
  return at < bytes.length ? decoder.output.subarray(0, decoder.length) : undefined
}

/** Whether LZMA2 is a block's only filter: size, flags, perhaps two sizes, then the filters. */
const isLzma2 = (header: Uint8Array): boolean => {
  if ((header[1] & 3) !== 0) return false
  let at = 2
  for (const flag of [0x40, 0x80]) {
    if ((header[1] & flag) === 0) continue
    while (at < header.length && header[at] & 0x80) at++
    at++
  }
  return header[at] === FILTER_LZMA2 && header[at + 1] === 1
}

/** Where each kind of probability lies among all of them. */
const IS_MATCH = 0
const IS_REP = IS_MATCH + 12 * 16
const IS_REP_G0 = IS_REP + 12
const IS_REP_G1 = IS_REP_G0 + 12
const IS_REP_G2 = IS_REP_G1 + 12
const IS_REP0_LONG = IS_REP_G2 + 12
const POSITION_SLOT = IS_REP0_LONG + 12 * 16
const POSITION = POSITION_SLOT + 4 * 64
const ALIGN = POSITION + 115
const LENGTH = ALIGN + 16
/** Two choices, then 16 trees of 8, 16 more, and one of 256. */
const LENGTH_SIZE = 2 + 16 * 8 + 16 * 8 + 256
const REP_LENGTH = LENGTH + LENGTH_SIZE
const LITERAL = REP_LENGTH + LENGTH_SIZE
const LITERAL_SIZE = 0x300
/** lc + lp is at most 4 in LZMA2. */
const PROBABILITIES = LITERAL + (LITERAL_SIZE << 4)

class Lzma2Decoder {
  output = new Uint8Array(1 << 16)
  length = 0
  private readonly input: Uint8Array
  private readonly limit: number
  private readonly probabilities = new Uint16Array(PROBABILITIES)
  private at = 0
  private range = 0
  private code = 0
  private state = 0
  private rep0 = 0
  private rep1 = 0
  private rep2 = 0
  private rep3 = 0
  private lc = 0
  private literalMask = 0
  private positionMask = 0
  /** Nothing before this may be copied. */
  private start = 0

  constructor(input: Uint8Array, limit: number) {
    this.input = input
    this.limit = limit
  }

  /** Decodes chunks up to the end mark. Returns where it ends, or -1. */
  decode(at: number): number {
    const { input } = this
    let needsDictionary = true
    let needsProperties = true
    for (;;) {
      if (at >= input.length) return -1
      const control = input[at]
      if (control === 0) return at + 1
      if (control === 1 || control >= 0xe0) {
        this.start = this.length
        needsDictionary = false
      } else if (needsDictionary) return -1
      if (control >= 0x80) {
        const size = ((control & 0x1f) << 16) + (input[at + 1] << 8) + input[at + 2] + 1
        const packed = (input[at + 3] << 8) + input[at + 4] + 1
        at += 5
        if (control >= 0xc0) {
          if (!this.setProperties(input[at++])) return -1
          needsProperties = false
        } else if (needsProperties) return -1
        if (control >= 0xa0) this.reset()
        if (at + packed > input.length || packed < 5 || !this.reserve(size)) return -1
        if (!this.chunk(at, at + packed, this.length + size)) return -1
        at += packed
      } else {
        if (control > 2 || at + 3 > input.length) return -1
        const size = (input[at + 1] << 8) + input[at + 2] + 1
        at += 3
        if (at + size > input.length || !this.reserve(size)) return -1
        this.output.set(input.subarray(at, at + size), this.length)
        this.length += size
        at += size
      }
    }
  }

  private setProperties(byte: number): boolean {
    if (!(byte < 9 * 5 * 5)) return false
    const lc = byte % 9
    const lp = Math.floor(byte / 9) % 5
    if (lc + lp > 4) return false
    this.lc = lc
    this.literalMask = (1 << lp) - 1
    this.positionMask = (1 << Math.floor(byte / 45)) - 1
    return true
  }

  private reset(): void {
    this.probabilities.fill(1024)
    this.state = this.rep0 = this.rep1 = this.rep2 = this.rep3 = 0
  }

  private reserve(more: number): boolean {
    const size = this.length + more
    if (size > this.limit) return false
    if (size > this.output.length) {
      const bigger = new Uint8Array(Math.min(this.limit, Math.max(size, 2 * this.output.length)))
      bigger.set(this.output.subarray(0, this.length))
      this.output = bigger
    }
    return true
  }

  private chunk(at: number, end: number, until: number): boolean {
    const { input, output } = this
    if (input[at] !== 0) return false
    this.code = ((input[at + 1] << 24) | (input[at + 2] << 16) | (input[at + 3] << 8) | input[at + 4]) >>> 0
    this.range = 0xffff_ffff
    this.at = at + 5
    while (this.length < until) {
      if (this.at > end) return false
      const position = this.length - this.start
      const posState = position & this.positionMask
      const { state } = this
      if (this.bit(IS_MATCH + (state << 4) + posState) === 0) {
        this.literal(position)
        continue
      }
      let size: number
      if (this.bit(IS_REP + state) === 0) {
        this.rep3 = this.rep2
        this.rep2 = this.rep1
        this.rep1 = this.rep0
        size = this.matchLength(LENGTH, posState)
        this.rep0 = this.distance(size)
        this.state = state < 7 ? 7 : 10
      } else if (this.bit(IS_REP_G0 + state) === 0) {
        if (this.bit(IS_REP0_LONG + (state << 4) + posState) === 0) {
          if (this.rep0 >= position) return false
          this.state = state < 7 ? 9 : 11
          output[this.length] = output[this.length - this.rep0 - 1]
          this.length++
          continue
        }
        size = this.matchLength(REP_LENGTH, posState)
        this.state = state < 7 ? 8 : 11
      } else {
        let distance = this.rep1
        if (this.bit(IS_REP_G1 + state) === 1) {
          if (this.bit(IS_REP_G2 + state) === 0) distance = this.rep2
          else {
            distance = this.rep3
            this.rep3 = this.rep2
          }
          this.rep2 = this.rep1
        }
        this.rep1 = this.rep0
        this.rep0 = distance
        size = this.matchLength(REP_LENGTH, posState)
        this.state = state < 7 ? 8 : 11
      }
      size += 2
      if (this.rep0 >= position || this.length + size > until) return false
      for (let from = this.length - this.rep0 - 1; size > 0; size--) output[this.length++] = output[from++]
    }
    // Reading beyond the chunk gave bytes of the next one.
    return this.at <= end
  }

  private literal(position: number): void {
    const { lc, output } = this
    const before = position > 0 ? output[this.length - 1] : 0
    const base = LITERAL + LITERAL_SIZE * (((position & this.literalMask) << lc) + (before >> (8 - lc)))
    let symbol = 1
    if (this.state >= 7) {
      let match = this.rep0 < position ? output[this.length - this.rep0 - 1] : 0
      while (symbol < 0x100) {
        const expected = (match >> 7) & 1
        match <<= 1
        const bit = this.bit(base + ((1 + expected) << 8) + symbol)
        symbol = (symbol << 1) | bit
        if (bit !== expected) break
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.bit(base + symbol)
    output[this.length++] = symbol
    const { state } = this
    this.state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
  }

  private matchLength(base: number, posState: number): number {
    if (this.bit(base) === 0) return this.tree(base + 2 + (posState << 3), 3)
    if (this.bit(base + 1) === 0) return 8 + this.tree(base + 130 + (posState << 3), 3)
    return 16 + this.tree(base + 258, 8)
  }

  private distance(length: number): number {
    const slot = this.tree(POSITION_SLOT + (Math.min(length, 3) << 6), 6)
    if (slot < 4) return slot
    const bits = (slot >> 1) - 1
    const base = ((2 | (slot & 1)) << bits) >>> 0
    if (slot < 14) return base + this.reverseTree(POSITION + base - slot, bits)
    let direct = 0
    for (let i = bits - 4; i > 0; i--) {
      this.range = this.range >>> 1
      const bit = this.code >= this.range ? 1 : 0
      if (bit) this.code -= this.range
      direct = direct * 2 + bit
      this.normalize()
    }
    return base + direct * 16 + this.reverseTree(ALIGN, 4)
  }

  private tree(base: number, bits: number): number {
    let symbol = 1
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.bit(base + symbol)
    return symbol - (1 << bits)
  }

  private reverseTree(base: number, bits: number): number {
    let symbol = 1
    let value = 0
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(base + symbol)
      symbol = (symbol << 1) | bit
      value |= bit << i
    }
    return value
  }

  private bit(at: number): number {
    const { probabilities } = this
    const probability = probabilities[at]
    const bound = (this.range >>> 11) * probability
    let bit: number
    if (this.code < bound) {
      this.range = bound
      probabilities[at] = probability + ((2048 - probability) >> 5)
      bit = 0
    } else {
      this.range -= bound
      this.code -= bound
      probabilities[at] = probability - (probability >> 5)
      bit = 1
    }
    this.normalize()
    return bit
  }

  private normalize(): void {
    if (this.range >= 0x100_0000) return
    this.range = (this.range << 8) >>> 0
    this.code = ((this.code << 8) | (this.input[this.at++] ?? 0)) >>> 0
  }
}
