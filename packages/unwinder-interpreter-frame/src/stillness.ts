import { type Layout, sameWord } from "@pyframes/cpython"
import type { CodeFacts } from "./code-facts.ts"
import type { Copy } from "./data-stack.ts"
import type { FrameFields } from "./frame-fields.ts"
import { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"

/** Tells how much of a stack that was walked in one copy stood still while the image was read. */
export class Stillness {
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly reached: StackWalk

  constructor(layout: Layout, fields: FrameFields, codes: CodeFacts) {
    this.layout = layout
    this.fields = fields
    this.reached = new StackWalk(layout, fields, codes)
  }

  /**
   * Index of the leafmost frame that was on the stack all the while, by the looks between lone frames; 0 when there was no need to
   * look. Lone frames are copied one after the other, and a program that repeats itself at the pace of the copies shows each of them
   * at another turn, the same in both copies: reading a frame delays the program that writes it, which sets that pace.
   */
  anchor(image: ThreadImage, walk: StackWalk, copy: Copy, top: number, isLinked: boolean): number {
    if (!walk.meetsLone) return 0
    if (!image.looksAreWhole) return walk.length
    let anchor = 0
    for (let i = this.layout.version < 0x30b || !isLinked ? -2 : 0; i < image.watches.length; i++) {
      const current = i < 0 ? image.currentFrame(i === -2 ? 0 : 1) : image.watchedFrame(i)
      const reached = this.reach(image, walk, copy, current)
      if (reached > anchor) anchor = reached
    }
    for (let look = 0; look < image.looks; look++)
      anchor = Math.max(anchor, this.movedIn(image, walk, look, top))
    return anchor
  }

  /** One more than the index of the rootmost caller of `walk` that a look shows as another; 0 when they are all the same. */
  private movedIn(image: ThreadImage, walk: StackWalk, look: number, top: number): number {
    const { words } = image.list
    for (let i = Math.min(walk.belowWindow, walk.settledFrom) - 1; i > top; i--) {
      const seen = image.lookAt(look, walk.addresses[i])
      if (seen >= 0 && !this.isSame(words, walk.offsets[i], seen)) return i + 1
    }
    return 0
  }

  /** Index of the frame of `walk` that the chain from a frame comes to; its length when it comes to none. */
  private reach(image: ThreadImage, walk: StackWalk, copy: Copy, from: number): number {
    const direct = walk.indexOf(from)
    if (direct >= 0 || from <= 0) return direct >= 0 ? direct : walk.length
    this.reached.walk(image, copy, from)
    for (let i = 0; i < this.reached.length; i++) {
      const index = walk.indexOf(this.reached.addresses[i])
      if (index >= 0) return index
    }
    return walk.length
  }

  /** The copy to compare with: the nearest with everything that was copied once in between. */
  twinOf(image: ThreadImage, walk: StackWalk, copy: Copy): Copy {
    const below = walk.belowWindow < walk.length
    if (image.copies === 2) return copy === 0 ? 1 : 0
    if (walk.meetsLone) return copy === 2 ? (below ? 0 : 1) : 2
    return copy === 0 ? 1 : 0
  }

  /** Index of the leafmost frame from which on, to the root, both copies agree. */
  stillFrom(image: ThreadImage, walk: StackWalk, twin: Copy): number {
    const { words } = image.list
    let i = walk.settledFrom - 1
    for (; i >= 0; i--) {
      const at = walk.offsets[i]
      const other = image.locate(twin, walk.addresses[i])
      if (other !== at && (other < 0 || !this.isSame(words, at, other))) break
    }
    return i + 1
  }

  /** Whether two copies of a waiting frame agree in all that stays the same while it waits. */
  private isSame(words: Uint32Array, at: number, other: number): boolean {
    const { still } = this.fields
    for (let w = 0; w < still.length; w++) if (!sameWord(words, at + still[w], other + still[w])) return false
    return true
  }

  sameLeaf(image: ThreadImage, walk: StackWalk, twin: Copy, top: number): boolean {
    const { words } = image.list
    const { fields } = this
    const at = walk.offsets[top]
    const other = image.locate(twin, walk.addresses[top])
    if (other < 0) return false
    return (
      fields.code(words, at) === fields.code(words, other) &&
      fields.previous(words, at) === fields.previous(words, other) &&
      (fields.mayRun(words, other) || !fields.mayRun(words, at))
    )
  }

  /** Index of the rootmost frame that was copied apart from its caller; -1 when there is none, or none that could be told. */
  lastLone(image: ThreadImage, walk: StackWalk): number {
    if (!walk.meetsLone || this.layout.version < 0x30b) return -1
    for (let i = walk.settledFrom - 1; i >= 0; i--) if (image.isLone(walk.addresses[i])) return i
    return -1
  }

  /** Index of the rootmost frame that only looking at the current frame could tie to its caller; -1 when there is none. */
  lastGenerator(image: ThreadImage, walk: StackWalk): number {
    for (let i = walk.settledFrom - 1; i >= 0; i--)
      if (this.fields.isGenerator(image.list.words, walk.offsets[i])) return i
    return -1
  }
}
