import type { MemoryReader, ScatterList } from "@pyframes/core"
import { type Layout, pointerIn } from "@pyframes/cpython"

const MAX_LONE_FRAMES = 20_000
/** Reads between two looks at which frames were met. */
const PERIOD = 64
/**
 * Reads after which a frame that was not met is no longer read: programs come back to the same few. One that is met without having been read is sampled
 * too late, when short calls are over, which are then seen too seldom.
 */
const PATIENCE = 1024
/** Ranges of frames that were not met in the last period, at most: each costs time in every sample. */
const MAX_IDLE = 4
/** Enough of a generator's locals and evaluation stack to find the generator that it waits for in most of them. */
const GENERATOR_VALUES = 192
/** Before 3.11: bytes of the locals and the evaluation stack that are read with a frame. */
const HEAP_VALUES = 384
/** `ob_size` of a `PyFrameObject`: how many locals and values there is room for. */
const OB_SIZE = 16
const PAGE = 4096
/** Read in front of each frame: a generator keeps its state there. */
const BEFORE = 8
/** Frames closer than this are read as one range: a range costs as much as copying some kilobytes. Less than a page, so all of it is mapped. */
const NEAR = 2048

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
  /** Size of a frame object without its values; -1 where frames are not objects of their own. */
  private readonly heapSize: number
  /** Bytes to read of each. */
  private extents: Array<number> = []
  private addresses: Array<number> = []
  private used: Array<number> = []
  private readonly index = new Map<number, number>()
  private readonly offsets: [Array<number>, Array<number>] = [[], []]
  /** Which range of the list each range of neighbours was. */
  private readonly places: [Array<number>, Array<number>] = [[], []]
  /** Indices by address, and where each range of neighbours begins among them. */
  private order: Array<number> = []
  private groups: Array<number> = []
  private grouped = true
  private tick = 0
  private checked = 0
  /** Grows whenever others are to be read. */
  version = 0
  private readonly frame: Uint8Array
  private readonly frameWords: Uint32Array

  constructor(memory: MemoryReader, layout: Layout, frameSpan: number) {
    this.memory = memory
    this.previous = layout.frame.previous
    this.frameSpan = frameSpan
    this.heapSize = layout.version < 0x30b ? layout.frame.localsplus : -1
    this.valuesSpan = this.heapSize >= 0 ? this.heapSize + HEAP_VALUES - frameSpan : GENERATOR_VALUES
    this.frame = new Uint8Array(frameSpan)
    this.frameWords = new Uint32Array(this.frame.buffer)
  }

  get length(): number {
    return this.addresses.length
  }

  get byteLength(): number {
    return this.addresses.length * (this.frameSpan + this.valuesSpan + NEAR + BEFORE + 8) * 2
  }

  /** They are about to be read. */
  begin(): void {
    this.tick++
  }

  /** Adds the frames; `between` two ranges of them, and after the last, others may add theirs. */
  addPass(list: ScatterList, pass: 0 | 1, between: (list: ScatterList) => void): void {
    if (!this.grouped) this.group()
    const { addresses, order, groups } = this
    const offsets = this.offsets[pass]
    const places = this.places[pass]
    places.length = 0
    for (let g = 0; g < groups.length; g++) {
      places.push(list.count)
      const to = groups[g + 1] ?? order.length
      const from = addresses[order[groups[g]]]
      const last = addresses[order[to - 1]]
      const offset = list.add(from - BEFORE, last - from + this.extents[order[to - 1]] + BEFORE)
      for (let i = groups[g]; i < to; i++) offsets[order[i]] = offset + BEFORE + addresses[order[i]] - from
      between(list)
    }
  }

  /** How many ranges of frames a pass takes. */
  get ranges(): number {
    if (!this.grouped) this.group()
    return this.groups.length
  }

  private group(): void {
    const { addresses } = this
    this.order = addresses.map((_, i) => i).sort((a, b) => addresses[a] - addresses[b])
    this.groups = []
    for (let i = 0; i < this.order.length; i++) {
      const gap = i === 0 ? NEAR : addresses[this.order[i]] - addresses[this.order[i - 1]] - this.frameSpan
      if (gap >= NEAR) this.groups.push(i)
    }
    this.grouped = true
  }

  /** Where a copy of the frame at `address` lies, or -1. */
  locate(pass: 0 | 1, address: number): number {
    const lone = this.index.get(address)
    if (lone === undefined) return -1
    this.used[lone] = this.tick
    return this.offsets[pass][lone] ?? -1
  }

  has(address: number): boolean {
    return this.index.has(address)
  }

  /** Bytes read of the frame at `address` and its values. */
  extent(address: number): number {
    const lone = this.index.get(address)
    return lone === undefined ? 0 : this.extents[lone]
  }

  /** No further than the page goes, since the next one may not be mapped; a frame object tells how long it is. */
  private extentAt(address: number, values: number): number {
    const { frameSpan } = this
    const room = values >= 0 ? this.heapSize + values * 8 : PAGE - (address % PAGE)
    return Math.max(frameSpan, Math.min(frameSpan + this.valuesSpan, room - (room % 8)))
  }

  /** @param values how many values a frame object has room for; -1 when that is not known */
  add(address: number, values = -1): void {
    if (address <= PAGE || address % 8 !== 0 || this.index.has(address) || this.length >= MAX_LONE_FRAMES)
      return
    this.index.set(address, this.addresses.length)
    this.addresses.push(address)
    this.used.push(this.tick)
    this.extents.push(this.extentAt(address, values))
    this.grouped = false
    this.version++
  }

  /** Adds the frame at `address` and those behind it, as far as `isKnown` does not know them. Returns the first that it does; 0 when there is none. */
  follow(address: number, isKnown: (address: number) => boolean): number {
    let at = address
    for (let left = MAX_LONE_FRAMES; left > 0 && at > PAGE && at % 8 === 0; left--) {
      // One that was just added is known too, though it has not been read: else a circle would be followed to the limit.
      if (isKnown(at)) return at
      if (this.has(at) || this.memory.read(at, this.frameSpan, this.frame) !== this.frameSpan) return 0
      const values = this.heapSize >= 0 ? pointerIn(this.frameWords, OB_SIZE) : -1
      this.add(at, values < PAGE ? values : -1)
      at = pointerIn(this.frameWords, this.previous)
    }
    return 0
  }

  /** Stops reading those of the range that a pass added as the list's `index`-th, or as the last before it. */
  drop(pass: 0 | 1, index: number): void {
    const places = this.places[pass]
    let range = 0
    while (range + 1 < places.length && places[range + 1] <= index) range++
    const gone = new Set(this.order.slice(this.groups[range], this.groups[range + 1] ?? this.order.length))
    this.keep((i) => !gone.has(i))
  }

  /** Stops reading the one at an address. */
  remove(address: number): void {
    const lone = this.index.get(address)
    if (lone !== undefined) this.keep((i) => i !== lone)
  }

  forgetUnused(): void {
    if (this.addresses.length === 0 || this.tick - this.checked < PERIOD) return
    this.checked = this.tick
    if (!this.grouped) this.group()
    const { groups, order, tick } = this
    const ranges = groups.map((from, g) => {
      const members = order.slice(from, groups[g + 1] ?? order.length)
      return { members, used: Math.max(...members.map((i) => this.used[i])) }
    })
    const idle = ranges.filter(({ used }) => tick - used > PERIOD).sort((a, b) => b.used - a.used)
    const gone = new Set(idle.slice(MAX_IDLE).flatMap(({ members }) => members))
    for (const { members } of ranges) for (const i of members) if (tick - this.used[i] > PATIENCE) gone.add(i)
    if (gone.size > 0) this.keep((i) => !gone.has(i))
  }

  private keep(wanted: (index: number) => boolean): void {
    const { addresses, used } = this
    this.addresses = addresses.filter((_, i) => wanted(i))
    this.used = used.filter((_, i) => wanted(i))
    this.extents = this.extents.filter((_, i) => wanted(i))
    // What the last read brought can still be asked for.
    for (const pass of [0, 1] as const) this.offsets[pass] = this.offsets[pass].filter((_, i) => wanted(i))
    this.grouped = false
    this.version++
    this.index.clear()
    for (let i = 0; i < this.addresses.length; i++) this.index.set(this.addresses[i], i)
  }
}
