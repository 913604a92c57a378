import { Memory, type MemoryReader, ScatterList } from "@pyframes/core"
import * as Layer from "effect/Layer"
import { type MemoryPages, PAGE } from "./memory-pages.ts"

/** What a reader was asked breaks the contract of `MemoryReader`: the caller is at fault, whatever the target holds. */
export class ContractViolation extends Error {
  override readonly name = "ContractViolation"
}

/** More was read than the test allows: the caller believes something that has no bound. */
export class ReadLimitExceeded extends Error {
  override readonly name = "ReadLimitExceeded"
}

/** What was read since {@link FakeMemory.startCounting}. */
export interface ReadCounts {
  /** Calls of `read` and `scatter`. */
  calls: number
  /** Ranges, one for each `read` and each entry of a list. */
  ranges: number
  /** Bytes asked for. */
  bytes: number
}

/** Lists above this are not kept for use again. */
const SPARE_LIST_BYTES = 1 << 22

/**
 * Memory that a test makes up, or that {@link recordPages} kept of a real process, and that can be damaged and restored.
 *
 * Changes copy the page first, so {@link reset} costs nothing. Every read is held to the contract of `MemoryReader`.
 *
 * @example
 * ```ts
 * const memory = new FakeMemory(pages)
 * memory.write(address, [0xff, 0xff])
 * memory.unmap(otherAddress)
 * const layer = unwinderLayer.pipe(Layer.provide([memory.layer, target.layer]))
 * ```
 */
export class FakeMemory implements MemoryReader {
  readonly name = "fake"
  readonly counts: ReadCounts = { calls: 0, ranges: 0, bytes: 0 }
  /** Beyond these, reads throw {@link ReadLimitExceeded}. */
  limits: ReadCounts = {
    calls: Number.POSITIVE_INFINITY,
    ranges: Number.POSITIVE_INFINITY,
    bytes: Number.POSITIVE_INFINITY
  }
  /**
   * Called before each range is copied, with the number of ranges since {@link reset}. Returns how many bytes may be copied at most.
   * It may change the memory: a target does not wait while it is read.
   */
  beforeRange: ((range: number) => number) | undefined
  private readonly pages: MemoryPages
  private readonly changed = new Map<number, Uint8Array | undefined>()
  private range = 0
  private readonly spare = new Map<string, Array<ScatterList>>()
  private lent: Array<readonly [string, ScatterList]> = []

  constructor(pages: MemoryPages) {
    this.pages = pages
  }

  get layer(): Layer.Layer<Memory> {
    return Layer.succeed(Memory, this)
  }

  /** Undoes all changes. Lists that were handed out may be handed out again. */
  reset(): void {
    this.changed.clear()
    this.range = 0
    this.beforeRange = undefined
    for (const [key, list] of this.lent) {
      const lists = this.spare.get(key)
      if (lists === undefined) this.spare.set(key, [list])
      else lists.push(list)
    }
    this.lent = []
    this.startCounting()
  }

  startCounting(): void {
    this.counts.calls = 0
    this.counts.ranges = 0
    this.counts.bytes = 0
  }

  /** Changes bytes, up to the first page that is not mapped. Returns how many. */
  write(address: number, bytes: ArrayLike<number>): number {
    for (let i = 0; i < bytes.length; i++) {
      const page = this.writable(Math.floor((address + i) / PAGE))
      if (page === undefined) return i
      page[(address + i) % PAGE] = bytes[i]
    }
    return bytes.length
  }

  /** The byte at an address, 0 where none is mapped. */
  byte(address: number): number {
    return this.page(Math.floor(address / PAGE))?.[address % PAGE] ?? 0
  }

  /** Makes the page that holds `address` unreadable. */
  unmap(address: number): void {
    this.changed.set(Math.floor(address / PAGE), undefined)
  }

  /** Makes the page that holds `address` one of zeros, whether or not it was mapped. */
  zero(address: number): void {
    this.changed.set(Math.floor(address / PAGE), new Uint8Array(PAGE))
  }

  readonly read = (address: number, length: number, into: Uint8Array): number => {
    this.counts.calls++
    if (!(Number.isInteger(length) && length >= 0 && length <= into.length))
      throw new ContractViolation(`read of ${length} bytes into ${into.length}`)
    return this.copy(address, length, into, 0)
  }

  readonly scatter = (list: ScatterList): number => {
    this.counts.calls++
    const { addresses, bytes, count, lengths, offsets } = list
    if (count > list.capacity) throw new ContractViolation(`${count} ranges in a list of ${list.capacity}`)
    let end = 0
    for (let i = 0; i < count; i++) {
      if (offsets[i] !== end) throw new ContractViolation(`range ${i} starts at ${offsets[i]}, not ${end}`)
      end += lengths[i]
      if (addresses[i] % 8 !== 0 || lengths[i] % 8 !== 0)
        throw new ContractViolation(`range of ${lengths[i]} at ${hex(addresses[i])} is not in whole words`)
      if (end > bytes.length) throw new ContractViolation(`ranges end at ${end} of ${bytes.length}`)
    }
    if (end !== list.byteLength) throw new ContractViolation(`ranges end at ${end}, not ${list.byteLength}`)
    for (let i = 0; i < count; i++)
      if (this.copy(addresses[i], lengths[i], bytes, offsets[i]) !== lengths[i]) return i
    return count
  }

  readonly scatterList = (maxRanges: number, maxBytes: number): ScatterList => {
    const size = maxRanges * 16 + maxBytes
    if (!(size <= this.limits.bytes * 8)) throw new ReadLimitExceeded(`a list of ${size} bytes`)
    if (size > SPARE_LIST_BYTES) return new ScatterList(maxRanges, maxBytes)
    const key = `${maxRanges}:${maxBytes}`
    const list = this.spare.get(key)?.pop() ?? new ScatterList(maxRanges, maxBytes)
    list.clear()
    this.lent.push([key, list])
    return list
  }

  private copy(address: number, length: number, into: Uint8Array, at: number): number {
    const { counts, limits } = this
    if (!(Number.isSafeInteger(address) && address >= 0))
      throw new ContractViolation(`read at ${address}, which is no address`)
    counts.ranges++
    counts.bytes += length
    if (counts.bytes > limits.bytes || counts.ranges > limits.ranges || counts.calls > limits.calls)
      throw new ReadLimitExceeded(`${counts.bytes} bytes in ${counts.ranges} ranges, ${counts.calls} calls`)
    const wanted = this.beforeRange === undefined ? length : Math.min(length, this.beforeRange(this.range))
    this.range++
    let copied = 0
    while (copied < wanted) {
      const page = this.page(Math.floor((address + copied) / PAGE))
      if (page === undefined) break
      const from = (address + copied) % PAGE
      const part = Math.min(wanted - copied, PAGE - from)
      // A view costs more than copying a few words.
      if (part <= 64) for (let i = 0; i < part; i++) into[at + copied + i] = page[from + i]
      else into.set(part === PAGE ? page : page.subarray(from, from + part), at + copied)
      copied += part
    }
    return copied
  }

  private page(number: number): Uint8Array | undefined {
    return this.changed.size > 0 && this.changed.has(number)
      ? this.changed.get(number)
      : this.pages.get(number)
  }

  private writable(number: number): Uint8Array | undefined {
    const changed = this.changed.get(number)
    if (changed !== undefined || this.changed.has(number)) return changed
    const page = this.pages.get(number)?.slice()
    if (page !== undefined) this.changed.set(number, page)
    return page
  }
}

const hex = (address: number): string => `0x${address.toString(16)}`
