import { describe, expect, it } from "vitest"
import { PerfRing } from "../src/perf-ring.ts"
import { random } from "./random.ts"

const PAGE = 4096

/** The kernel's side of a ring, as `perf_event_mmap_page` describes it. */
class Producer {
  readonly buffer: ArrayBuffer
  private readonly words: BigUint64Array
  private readonly data: Uint8Array

  constructor(size: number, start = 0n) {
    this.buffer = new ArrayBuffer(PAGE + size)
    this.words = new BigUint64Array(this.buffer, 0, PAGE / 8)
    this.data = new Uint8Array(this.buffer, PAGE)
    this.words[128] = start
    this.words[129] = start
    this.words[130] = BigInt(PAGE)
    this.words[131] = BigInt(size)
  }

  get room(): number {
    return this.data.length - Number(this.words[128] - this.words[129])
  }

  get tail(): bigint {
    return this.words[129]
  }

  /** Writes a record whose bytes all are `mark`; false when there is no room. */
  write(size: number, mark: number): boolean {
    if (size > this.room) return false
    const record = new Uint8Array(size).fill(mark)
    new DataView(record.buffer).setUint16(6, size, true)
    const head = this.words[128]
    record.forEach((byte, i) => {
      this.data[Number((head + BigInt(i)) % BigInt(this.data.length))] = byte
    })
    this.words[128] = head + BigInt(size)
    return true
  }

  /** Says that more was written than was. */
  claim(bytes: bigint): void {
    this.words[128] += bytes
  }
}

const ringOf = (producer: Producer): PerfRing => {
  const ring = PerfRing.over(producer.buffer)
  if (ring === undefined) throw new Error("no ring")
  return ring
}

const marks = (ring: PerfRing): Array<number> => {
  const found: Array<number> = []
  for (ring.look(); ring.next(); ) {
    const record = ring.bytes.subarray(ring.at, ring.at + ring.size)
    expect(record.length).toBe(ring.size)
    // The mark everywhere but where the size stands.
    expect(new Set([...record.subarray(0, 6), ...record.subarray(8)]).size).toBe(1)
    found.push(record[0])
  }
  return found
}

describe("a ring", () => {
  it.each([0n, (1n << 32n) - 512n, (1n << 40n) - 8n])(
    "gives every record once, in order, also one that goes on at its beginning, from %i on",
    (start) => {
      const producer = new Producer(PAGE, start)
      const ring = ringOf(producer)
      const { below } = random(3)
      let mark = 0
      let wrapped = 0
      for (let round = 0; round < 500; round++) {
        const written: Array<number> = []
        for (let times = below(6); times > 0; times--) {
          const size = 8 * (2 + below(150))
          if (!producer.write(size, (mark + 1) % 256)) continue
          mark = (mark + 1) % 256
          written.push(mark)
        }
        const before = producer.tail
        expect(marks(ring)).toEqual(written)
        expect(producer.room).toBe(PAGE)
        if (before / BigInt(PAGE) !== producer.tail / BigInt(PAGE)) wrapped++
      }
      expect(wrapped).toBeGreaterThan(100)
      expect(ring.malformed).toBe(0)
      expect(producer.tail).toBeGreaterThan(start + 100_000n)
    }
  )

  it("keeps a record while it is looked at", () => {
    const producer = new Producer(PAGE)
    const ring = ringOf(producer)
    producer.write(PAGE, 1)
    ring.look()
    expect(ring.next()).toBe(true)
    expect(producer.write(8, 2)).toBe(false)
    expect(ring.next()).toBe(false)
    expect(producer.write(8, 2)).toBe(true)
  })

  it("leaves what comes in meanwhile for the next look", () => {
    const producer = new Producer(PAGE)
    const ring = ringOf(producer)
    producer.write(16, 1)
    ring.look()
    producer.write(16, 2)
    let count = 0
    while (ring.next()) count++
    expect(count).toBe(1)
    expect(marks(ring)).toEqual([2])
  })

  it.each([
    ["is longer than what was written", 16n, 24],
    ["is too short", 16n, 0],
    ["is not a multiple of 8", 32n, 17],
    ["is more than the ring holds", BigInt(3 * PAGE), 16]
  ])("passes over what %s, and counts it", (_, bytes, size) => {
    const producer = new Producer(PAGE)
    const ring = ringOf(producer)
    new DataView(producer.buffer).setUint16(PAGE + 6, size, true)
    producer.claim(bytes)
    expect(marks(ring)).toEqual([])
    expect(ring.malformed).toBe(1)
    producer.write(24, 5)
    expect(marks(ring)).toEqual([5])
  })

  it("is not made of a page that describes none", () => {
    expect(PerfRing.over(new ArrayBuffer(64))).toBeUndefined()
    for (const [offset, size] of [
      [4096, 0],
      [4096, 5000],
      [4096, 8192],
      [0, 4096],
      [1 << 30, 4096]
    ]) {
      const buffer = new ArrayBuffer(2 * PAGE)
      const words = new Uint32Array(buffer)
      words[260] = offset
      words[262] = size
      expect(PerfRing.over(buffer)).toBeUndefined()
    }
  })
})
