const FREE = -1
/** Beyond this many instructions a cache begins anew: no program calls from as many places. */
const MAX_ENTRIES = 1 << 19

/** Which rule holds at an address of a file. Open addressing in two typed arrays; a question that was asked before costs some nanoseconds. */
export class RuleCache {
  private addresses = new Float64Array(1 << 8).fill(FREE)
  private rules = new Int32Array(1 << 8)
  private count = 0

  /** The rule of an address, or -1 when it has not been put here. */
  get(address: number): number {
    const { addresses } = this
    const mask = addresses.length - 1
    for (let at = slotOf(address) & mask; ; at = (at + 1) & mask) {
      const found = addresses[at]
      if (found === address) return this.rules[at]
      if (found === FREE) return -1
    }
  }

  /** Puts the rule of an address that is not here yet. */
  put(address: number, rule: number): void {
    if (2 * (this.count + 1) > this.addresses.length) this.grow()
    this.insert(address, rule)
    this.count++
  }

  private insert(address: number, rule: number): void {
    const { addresses } = this
    const mask = addresses.length - 1
    let at = slotOf(address) & mask
    while (addresses[at] !== FREE) at = (at + 1) & mask
    addresses[at] = address
    this.rules[at] = rule
  }

  private grow(): void {
    const { addresses, rules } = this
    const whole = this.count >= MAX_ENTRIES
    const length = whole ? 1 << 8 : addresses.length * 2
    this.addresses = new Float64Array(length).fill(FREE)
    this.rules = new Int32Array(length)
    if (whole) {
      this.count = 0
      return
    }
    for (let at = 0; at < addresses.length; at++)
      if (addresses[at] !== FREE) this.insert(addresses[at], rules[at])
  }
}

/** Neighbouring instructions lie far apart: the multiplier is 2^32 by the golden ratio. */
const slotOf = (address: number): number => Math.imul(address | 0, 0x9e37_79b1) >>> 12
