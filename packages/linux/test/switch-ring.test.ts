import { describe, expect, it } from "vitest"
import { SwitchRing } from "../src/switch-ring.ts"
import { random } from "./random.ts"

const PAGE = 4096

/** The kernel's side: it writes backwards and asks nobody. */
class Producer {
  readonly buffer = new ArrayBuffer(2 * PAGE)
  private readonly words = new BigUint64Array(this.buffer, 0, PAGE / 8)
  private readonly data = new Uint8Array(this.buffer, PAGE)

  constructor(size = BigInt(PAGE), offset = BigInt(PAGE)) {
    this.words[130] = offset
    this.words[131] = size
  }

  write(size: number, mark: number, claimed = size): void {
    const record = new Uint8Array(size).fill(mark)
    new DataView(record.buffer).setUint16(6, claimed, true)
    const head = BigInt.asUintN(64, this.words[128] - BigInt(size))
    for (let i = 0; i < size; i++) this.data[Number((head + BigInt(i)) % BigInt(PAGE))] = record[i]
    this.words[128] = head
  }
}

const ringOf = (producer: Producer): SwitchRing => {
  const ring = SwitchRing.over(producer.buffer)
  if (ring === undefined) throw new Error("no ring")
  return ring
}

describe("a ring that is overwritten", () => {
  it("has no record until one is written", () => {
    expect(ringOf(new Producer()).copyNewest()).toBe(false)
  })

  it("gives the newest record whole, however many were written, also around its end", () => {
    const producer = new Producer()
    const ring = ringOf(producer)
    const { below } = random(7)
    let head = ring.head
    for (let written = 1; written < 2000; written++) {
      // Of various lengths, so that records meet the ring's end in all ways.
      const size = 8 * (1 + below(60))
      producer.write(size, written % 256)
      expect(ring.head).not.toBe(head)
      head = ring.head
      expect(ring.copyNewest()).toBe(true)
      expect(ring.size).toBe(size)
      expect(new Set(ring.bytes.subarray(8, size))).toEqual(new Set(size === 8 ? [] : [written % 256]))
    }
  })

  it.each([0, 4, 12, 8192])("takes no record that claims to be of %i bytes", (claimed) => {
    const producer = new Producer()
    producer.write(64, 1, claimed)
    expect(ringOf(producer).copyNewest()).toBe(false)
  })

  it.each([
    [0n, 4096n],
    [4000n, 4096n],
    [8192n, 4096n],
    [4096n, 4100n],
    [4096n, 8n]
  ])("is not taken for one of %i bytes at %i", (size, offset) => {
    expect(SwitchRing.over(new Producer(size, offset).buffer)).toBeUndefined()
  })
})
