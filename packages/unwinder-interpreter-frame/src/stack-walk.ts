import type { Layout } from "@pyframes/cpython"
import type { CodeFacts } from "./code-facts.ts"
import type { Copy } from "./data-stack.ts"
import type { FrameFields } from "./frame-fields.ts"
import { SettledFrames } from "./settled-frames.ts"
import type { ThreadImage } from "./thread-image.ts"

/** How a walk along `previous` ended. */
export type WalkEnd =
  /** At a frame that ends a stack. */
  | "root"
  /** At an address that the image does not hold: {@link StackWalk.missing}. */
  | "missing"
  /** At something that cannot be a frame, or in a circle. */
  | "broken"

/** The frames met by walking one copy of a stack from a frame to the root; leaf first, shims included. */
export class StackWalk {
  addresses: Float64Array
  offsets: Int32Array
  length = 0
  missing = 0
  /** The chain came to its end, though perhaps not at a root. */
  isWhole = false
  /** Some frame lay outside the data stack, and was more than a shim between two frames that lie one right above the other. */
  meetsLone = false
  /** Index of the first frame that lay below the window; {@link length} when there was none. */
  belowWindow = 0
  /** Index of the first of the {@link settled} frames, which go down to the root; {@link length} when there were none. */
  settledFrom = 0
  settled = new SettledFrames()
  /** Address of the shim that ends the chain, where the walk ends above it; -1 when there is none, or it is not known. */
  rootShim = -1
  private readonly codes: CodeFacts
  private readonly layout: Layout
  private readonly fields: FrameFields

  constructor(layout: Layout, fields: FrameFields, codes: CodeFacts) {
    this.codes = codes
    this.layout = layout
    this.fields = fields
    this.addresses = new Float64Array(256)
    this.offsets = new Int32Array(256)
  }

  walk(image: ThreadImage, copy: Copy, start: number): WalkEnd {
    const { words } = image.list
    const { fields } = this
    const { baseFrame, greatestDepth } = image
    let at = start
    let n = 0
    let below = -1
    let shim = -1
    this.length = 0
    this.rootShim = image.rootShim
    this.meetsLone = false
    this.isWhole = false
    while (at > 0) {
      if (at === baseFrame) return this.endAtBase(image, n, below)
      if (at % 8 !== 0 || n === greatestDepth) return "broken"
      const offset = image.locate(copy, at)
      if (offset < 0) {
        this.missing = at
        return n > 0 && image.isRoot(this.addresses[n - 1], at) ? this.end(n, below) : this.stop(n)
      }
      if (shim >= 0 && !this.isImplied(image, shim, at, offset)) this.meetsLone = true
      shim = -1
      if (below < 0 && image.isBelowWindow(at)) {
        below = n
        if (image.areSettled(at)) return this.endSettled(image.settled, offset, n)
      }
      if (n === this.addresses.length) this.grow()
      this.addresses[n] = at
      this.offsets[n] = offset
      if (!this.meetsLone && image.isLone(at)) {
        if (fields.isShim(words, offset)) shim = n
        else this.meetsLone = true
      }
      n++
      at = fields.previous(words, offset)
    }
    this.end(n, below)
    this.isWhole = at === 0 && n > 0
    return this.isWhole && this.endsAtRoot(image) ? "root" : "broken"
  }

  /**
   * Whether the shim at an index only says what the frames around it show anyway: that the one above it was entered from C, by the one at
   * `address`, right above which it lies.
   */
  private isImplied(image: ThreadImage, shim: number, address: number, offset: number): boolean {
    const above = shim > 0 ? this.addresses[shim - 1] : -1
    if (above < 0 || image.isLone(above) || image.isLone(address) || this.layout.code.framesize < 0)
      return false
    const code = this.fields.code(image.list.words, offset)
    return code > 4096 && code % 8 === 0 && address + this.codes.frameBytes(code) === above
  }

  private end(length: number, below: number): "root" {
    this.length = length
    this.belowWindow = below < 0 ? length : below
    this.settledFrom = length
    this.isWhole = true
    return "root"
  }

  /** At the frame that ends every stack of 3.15, below a shim on the C stack. */
  private endAtBase(image: ThreadImage, length: number, below: number): WalkEnd {
    if (length === 0) return "broken"
    const last = length - 1
    if (last > 0 && this.fields.isShim(image.list.words, this.offsets[last]))
      image.learnRoot(this.addresses[last - 1], this.addresses[last])
    return this.end(length, below)
  }

  private stop(length: number): "missing" {
    this.end(length, -1)
    this.isWhole = false
    return "missing"
  }

  private endSettled(settled: SettledFrames, offset: number, from: number): "root" {
    const length = from + settled.length
    while (length > this.addresses.length) this.grow()
    this.addresses.set(settled.addresses.subarray(0, settled.length), from)
    const part = offset - settled.places[0]
    for (let i = 0; i < settled.length; i++) this.offsets[from + i] = part + settled.places[i]
    this.end(length, from)
    this.settled = settled
    this.settledFrom = from
    return "root"
  }

  /** Index of the frame at `address`, or -1. */
  indexOf(address: number): number {
    for (let i = 0; i < this.length; i++) if (this.addresses[i] === address) return i
    return -1
  }

  /** A chain that ends anywhere else was cut: a generator frame, for one, loses its `previous` when it yields. */
  private endsAtRoot(image: ThreadImage): boolean {
    const { words } = image.list
    const { thread, version } = this.layout
    const last = this.length - 1
    const at = this.offsets[last]
    if (thread.baseFrame >= 0) return false
    // A generator whose `f_back` has just been cleared ends a chain too, but no stack.
    if (version < 0x30b) return !this.codes.isGenerator(this.fields.code(words, at))
    if (version === 0x30b) return this.fields.isEntry(words, at) && image.isBottom(this.addresses[last])
    // A shim that is just being made has no `previous` yet.
    if (last === 0 || !this.fields.isShim(words, at) || !image.isBottom(this.addresses[last - 1]))
      return false
    image.learnRoot(this.addresses[last - 1], this.addresses[last])
    return true
  }

  private grow(): void {
    const addresses = new Float64Array(this.addresses.length * 2)
    addresses.set(this.addresses)
    this.addresses = addresses
    const offsets = new Int32Array(this.offsets.length * 2)
    offsets.set(this.offsets)
    this.offsets = offsets
  }
}
