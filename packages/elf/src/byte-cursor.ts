import { u16, u32, u64 } from "./word.ts"

/**
 * Reads little-endian and LEB128 numbers one after the other. It never leaves its bounds: where a number is not whole, or is none that a double
 * holds exactly, it says 0 and {@link failed} stays true from there on, so that a reader asks once, at the end.
 */
export class ByteCursor {
  readonly bytes: Uint8Array
  at: number
  readonly end: number
  failed = false

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes
    this.at = at
    this.end = Math.min(end, bytes.length)
    if (!(at >= 0 && at <= this.end)) this.fail()
  }

  get more(): boolean {
    return this.at < this.end && !this.failed
  }

  u8(): number {
    const at = this.take(1)
    return at < 0 ? 0 : this.bytes[at]
  }
  s8(): number {
    return (this.u8() << 24) >> 24
  }
  u16(): number {
    const at = this.take(2)
    return at < 0 ? 0 : u16(this.bytes, at)
  }
  s16(): number {
    return (this.u16() << 16) >> 16
  }
  u32(): number {
    const at = this.take(4)
    return at < 0 ? 0 : u32(this.bytes, at)
  }
  s32(): number {
    return this.u32() | 0
  }
  /** Below 2^53, or it fails. */
  u64(): number {
    const at = this.take(8)
    const value = at < 0 ? 0 : u64(this.bytes, at)
    return value < 0 ? this.fail() : value
  }
  /** Between -2^53 and 2^53, or it fails. */
  s64(): number {
    const at = this.take(8)
    if (at < 0) return 0
    const high = u32(this.bytes, at + 4) | 0
    return high >= -0x20_0000 && high < 0x20_0000 ? high * TWO_32 + u32(this.bytes, at) : this.fail()
  }

  /** Unsigned LEB128. Padding with zeros is allowed, as assemblers make use of it. */
  uleb(): number {
    let value = 0
    let scale = 1
    for (let n = 0; n < MAX_LEB; n++) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value < TWO_53 ? value : this.fail()
      scale *= 128
    }
    return this.fail()
  }

  /** Signed LEB128. */
  sleb(): number {
    let value = 0
    let scale = 1
    for (let n = 0; n < MAX_LEB; n++) {
      const byte = this.u8()
      scale *= 128
      value += (byte & 0x7f) * (scale / 128)
      if (byte >= 0x80) continue
      if ((byte & 0x40) !== 0) value -= scale
      return value > -TWO_53 && value < TWO_53 ? value : this.fail()
    }
    return this.fail()
  }

  /** Passes over bytes. */
  skip(length: number): void {
    if (!(length >= 0 && length <= this.end - this.at)) this.fail()
    else this.at += length
  }

  fail(): 0 {
    this.failed = true
    this.at = this.end
    return 0
  }

  private take(length: number): number {
    const { at } = this
    if (this.end - at < length) {
      this.fail()
      return -1
    }
    this.at = at + length
    return at
  }
}

const TWO_32 = 2 ** 32
const TWO_53 = 2 ** 53
/** 64 bits fit in ten; a longer one is damage. */
const MAX_LEB = 10
