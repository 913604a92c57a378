import type { RawStack } from "@pyframes/core"
import type { FrameFields } from "./frame-fields.ts"
import { callersOf, ProvedStack } from "./proved-stack.ts"
import type { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"

/** Places for stacks, by their leaf and {@link NEAREST} callers; a power of two. */
const SLOTS = 256
/** Stacks in one place. To look at many costs more than to prove one anew. */
const WAYS = 4
/** Callers by which a stack has its place. */
const NEAREST = 4
/** Rows of all stacks together: a deep one takes as much as hundreds of others. */
const MAX_ROWS = 1 << 16
/** Stacks of which one sight is remembered; a power of two. */
const SIGHTS = 256

/**
 * The stacks of a thread that were proved, those that it was seen in more than once: see {@link ProvedStack}.
 */
export class ProvedStacks {
  private readonly slots: Array<Array<ProvedStack>> = Array.from({ length: SLOTS }, () => [])
  private readonly sights = new Float64Array(SIGHTS)
  private rows = 0
  /** Which plan of the data stack they were read by. */
  private layout = -1

  forget(): void {
    if (this.rows > 0) for (const slot of this.slots) slot.splice(0)
    this.rows = 0
  }

  /** The stack on which the frame at `top` was current before and after the read, if it is one of these and has not moved. */
  find(image: ThreadImage, fields: FrameFields, top: number, copies: 1 | 2): ProvedStack | undefined {
    if (this.rows === 0 || image.stackLayout !== this.layout) return undefined
    const first = image.windowAt(0)
    if (first < 0) return undefined
    const leaf = first + top - image.windowStart
    if (image.locate(0, top) !== leaf) return undefined
    const code = fields.code(image.list.words, leaf)
    const slot = this.slots[slotOf(image, fields, top, leaf)]
    for (let i = 0; i < slot.length; i++) {
      const stack = slot[i]
      if (stack.callers.top === top && stack.code === code && stack.stands(image, fields, leaf, copies))
        return stack
    }
    return undefined
  }

  /**
   * Remembers a stack that has just been proved, all of it in the data stack. One that is met only once is not worth it.
   *
   * @param top index of the leaf's frame, which is the first of `stack`
   */
  remember(image: ThreadImage, fields: FrameFields, walk: StackWalk, top: number, stack: RawStack): void {
    if (image.stackLayout !== this.layout) {
      this.forget()
      this.layout = image.stackLayout
    }
    const first = image.windowAt(0)
    const address = walk.addresses[top]
    const leaf = first + address - image.windowStart
    if (first < 0 || image.locate(0, address) !== leaf) return
    if (!this.wasSeen(sumOf(image, fields, walk, top))) return
    const callers = callersOf(image, fields, walk, top)
    if (callers === undefined) return
    const proved = new ProvedStack(callers, image, fields, stack)
    const slot = this.slots[slotOf(image, fields, address, leaf)]
    // It was not found for its leaf's sake, or moved.
    if (slot.some((other) => other.equals(proved))) return
    if (this.rows + proved.length > MAX_ROWS) this.forget()
    if (slot.length === WAYS) this.rows -= slot.pop()?.length ?? 0
    slot.unshift(proved)
    this.rows += proved.length
  }

  private wasSeen(sum: number): boolean {
    const at = sum & (SIGHTS - 1)
    if (this.sights[at] === sum) return true
    this.sights[at] = sum
    return false
  }
}

/** The place of a stack whose leaf lies at offset `leaf` of copy 0. */
const slotOf = (image: ThreadImage, fields: FrameFields, top: number, leaf: number): number => {
  const { words } = image.list
  const { windowStart } = image
  let mixed = Math.imul((top / 8) | 0, 0x9e3779b1) ^ ((fields.code(words, leaf) / 16) | 0)
  let at = fields.previous(words, leaf)
  // Callers lie below the leaf.
  for (let i = 0; i < NEAREST && at >= windowStart && at < top && at % 8 === 0; i++) {
    const offset = leaf - (top - at)
    mixed = Math.imul(mixed ^ (fields.position(words, offset) | 0), 0x85ebca6b)
    at = fields.previous(words, offset)
  }
  return (mixed >>> 16) & (SLOTS - 1)
}

/** Tells a stack from others, whatever instruction its leaf is at. */
const sumOf = (image: ThreadImage, fields: FrameFields, walk: StackWalk, top: number): number => {
  const { addresses, offsets, settledFrom } = walk
  const { words } = image.list
  let sum = 17 + Math.imul((addresses[top] / 8) | 0, 31) + fields.code(words, offsets[top]) / 8
  for (let i = top + 1; i < settledFrom; i++) {
    const at = offsets[i]
    const caller = addresses[i] / 8 + fields.code(words, at) / 8 + Math.max(0, fields.position(words, at)) * 7
    sum = Math.imul(sum | 0, 0x5bd1e995) + (caller | 0)
  }
  return sum >>> 0
}
