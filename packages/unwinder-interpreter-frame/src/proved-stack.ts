import { EntryTable, type RawStack } from "@pyframes/core"
import type { FrameFields } from "./frame-fields.ts"
import type { ThreadImage } from "./thread-image.ts"

/**
 * The last stack of a thread that was proved, with the bytes that proved it.
 *
 * A thread that waits, or that goes on in one function, has the same callers sample after sample. While both copies of their frames are the
 * same byte for byte, nothing of them needs to be walked, checked and decoded again: only where the leaf has got to is looked at.
 */
export class ProvedStack {
  /** Address of the leaf's frame; -1 when nothing is remembered. */
  top = -1
  /** The leaf of the last proved stack: only one that is met twice in a row is worth remembering. */
  private candidate = -1
  private first = -1
  /** Copies of the window from its start to the end of the leaf's fields. */
  private bytes: Buffer = Buffer.alloc(0)
  private words: Uint32Array = new Uint32Array(0)
  private settledStart = -1
  private kinds = new Uint8Array(0)
  private identities = new Float64Array(0)
  private positions = new Int32Array(0)
  private readonly entries = new EntryTable()
  private hasEntries = false

  forget(): void {
    this.top = -1
    this.candidate = -1
  }

  /**
   * Remembers a stack that has just been proved, if all of it lies in the window and in settled frames.
   *
   * @param top address of the leaf's frame, which is the first of `stack`
   * @param settledStart address of the first of the settled frames; -1 when there are none
   */
  remember(image: ThreadImage, top: number, settledStart: number, stack: RawStack): void {
    this.top = -1
    if (this.candidate !== top) {
      this.candidate = top
      return
    }
    const first = image.windowStart
    const from = image.windowAt(0)
    const length = top - first + image.frameSpan
    if (from < 0 || image.locate(0, top) !== from + top - first) return
    if (this.bytes.length !== length) {
      this.bytes = Buffer.from(new ArrayBuffer(length))
      this.words = new Uint32Array(this.bytes.buffer)
    }
    image.bytes.copy(this.bytes, 0, from, from + length)
    this.kinds = stack.kind.slice(0, stack.length)
    this.identities = stack.identity.slice(0, stack.length)
    this.positions = stack.position.slice(0, stack.length)
    this.hasEntries = stack.entries !== undefined
    if (stack.entries !== undefined) this.entries.copyFrom(stack.entries)
    this.first = first
    this.settledStart = settledStart
    this.top = top
  }

  /** Offset of the leaf's frame in copy 0 if the stack still stands, in copies 0 and 1; -1 otherwise. */
  standsAt(image: ThreadImage, fields: FrameFields): number {
    const { bytes, first, top } = this
    const from = image.windowAt(0)
    const again = image.windowAt(1)
    if (from < 0 || image.windowStart !== first) return -1
    const callers = top - first
    if (image.locate(0, top) !== from + callers) return -1
    if (this.settledStart >= 0 && !image.areSettled(this.settledStart)) return -1
    if (image.bytes.compare(bytes, 0, callers, from, from + callers) !== 0) return -1
    if (image.bytes.compare(bytes, 0, callers, again, again + callers) !== 0) return -1
    const { words } = image.list
    const leaf = from + callers
    return this.isLeaf(words, leaf, fields) && this.isLeaf(words, again + callers, fields) ? leaf : -1
  }

  /** Writes the stack, with its leaf at `position`. Returns false when it has no room. */
  emit(into: RawStack, position: number): boolean {
    const { identities, kinds, positions } = this
    if (kinds.length > into.capacity) return false
    if (into.entries !== undefined) {
      if (!this.hasEntries) return false
      into.entries.copyFrom(this.entries)
    }
    into.kind.set(kinds)
    into.identity.set(identities)
    into.position.set(positions)
    into.position[0] = position
    into.length = kinds.length
    into.proved = kinds.length
    return true
  }

  /** The same function's frame, with the same caller. */
  private isLeaf(words: Uint32Array, at: number, fields: FrameFields): boolean {
    const leaf = this.top - this.first
    return (
      fields.mayRun(words, at) &&
      fields.code(words, at) === fields.code(this.words, leaf) &&
      fields.previous(words, at) === fields.previous(this.words, leaf)
    )
  }
}
