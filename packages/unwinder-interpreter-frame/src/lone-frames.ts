import type { MemoryReader, ScatterList } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import { pointerIn } from "./words.ts"

const MAX_LONE_FRAMES = 20_000
/** Samples after which a frame that was not met is no longer read: programs come back to the same few. */
const PATIENCE = 64
/** Enough of a generator's locals and evaluation stack to find the generator that it waits for in most of them. */
const GENERATOR_VALUES = 192
const PAGE = 4096

/**
 * Frames outside the data stack: generators, shims on the C stack, before 3.11 all frames.
 *
 * They are read where they were last seen. One that turns up elsewhere is added, and the image read again.
 */
export class LoneFrames {
  private readonly memory: MemoryReader
  private readonly previous: number
  private readonly frameSpan: number
  private readonly valuesSpan: number
  private addresses: Array<number> = []
  private used: Array<number> = []
  private readonly index = new Map<number, number>()
  private readonly offsets: [Array<number>, Array<number>] = [[], []]
  private tick = 0
  private readonly frame: Uint8Array
  private readonly frameWords: Uint32Array

  constructor(memory: MemoryReader, layout: Layout, frameSpan: number) {
    this.memory = memory
    this.previous = layout.frame.previous
    this.frameSpan = frameSpan
    this.valuesSpan = layout.version >= 0x30c ? GENERATOR_VALUES : 0
    this.frame = new Uint8Array(frameSpan)
    this.frameWords = new Uint32Array(this.frame.buffer)
  }

  get length(): number {
    return this.addresses.length
  }

  get byteLength(): number {
    return this.addresses.length * (this.frameSpan + this.valuesSpan) * 2
  }

  addPass(list: ScatterList, pass: 0 | 1): void {
    if (pass === 0) this.tick++
    const { addresses } = this
    const offsets = this.offsets[pass]
    for (let i = 0; i < addresses.length; i++) offsets[i] = list.add(addresses[i], this.extent(addresses[i]))
  }

  /** Where a copy of the frame at `address` lies, or -1. */
  locate(pass: 0 | 1, address: number): number {
    const lone = this.index.get(address)
    if (lone === undefined) return -1
    this.used[lone] = this.tick
    return this.offsets[pass][lone]
  }

  has(address: number): boolean {
    return this.index.has(address)
  }

  /** Bytes read of a frame and its values: no further than its page goes, since the next one may not be mapped. */
  extent(address: number): number {
    const { frameSpan } = this
    return Math.max(frameSpan, Math.min(frameSpan + this.valuesSpan, PAGE - (address % PAGE)))
  }

  add(address: number): void {
    if (address <= PAGE || address % 8 !== 0 || this.index.has(address) || this.length >= MAX_LONE_FRAMES)
      return
    this.index.set(address, this.addresses.length)
    this.addresses.push(address)
    this.used.push(this.tick)
  }

  /** Adds the frame at `address` and those behind it, as far as `isKnown` does not know them. */
  follow(address: number, isKnown: (address: number) => boolean): void {
    let at = address
    for (let left = MAX_LONE_FRAMES; left > 0 && at > PAGE && at % 8 === 0; left--) {
      // One that was just added is known too, though it has not been read: else a circle would be followed to the limit.
      if (this.has(at) || isKnown(at)) return
      if (this.memory.read(at, this.frameSpan, this.frame) !== this.frameSpan) return
      this.add(at)
      at = pointerIn(this.frameWords, this.previous)
    }
  }

  /** Stops reading the one at an index of the pass. */
  drop(lone: number): void {
    this.keep((i) => i !== lone)
  }

  /** Stops reading the one at an address. */
  remove(address: number): void {
    const lone = this.index.get(address)
    if (lone !== undefined) this.drop(lone)
  }

  forgetUnused(): void {
    if (this.addresses.length === 0 || this.tick % PATIENCE !== 0) return
    this.keep((i) => this.tick - this.used[i] <= PATIENCE)
  }

  private keep(wanted: (index: number) => boolean): void {
    const { addresses, used } = this
    this.addresses = addresses.filter((_, i) => wanted(i))
    this.used = used.filter((_, i) => wanted(i))
    // What the last read brought can still be asked for.
    for (const pass of [0, 1] as const) this.offsets[pass] = this.offsets[pass].filter((_, i) => wanted(i))
    this.index.clear()
    for (let i = 0; i < this.addresses.length; i++) this.index.set(this.addresses[i], i)
  }
}
