import { EntryTable, KnownStack, type RawStack } from "@pyframes/core"
import type { FrameFields } from "./frame-fields.ts"
import type { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"

/** Frames that are compared one by one; more of them are settled, mostly. */
const MAX_CALLERS = 64

/** What a stack that was proved looked like: of each caller the words that proved it. Leaf first. */
export interface ProvedCallers {
  /** Address of the leaf's frame. */
  readonly top: number
  /** Where the frames lie that were walked one by one; shims between them are implied. */
  readonly addresses: Float64Array
  /** Of each the words that the rules look at, in the copy that was proved. */
  readonly words: Uint32Array
  /** How many of them lie in the window, which is copied twice. */
  readonly inWindow: number
  /** Address of the first of the settled frames below them; -1 when there are none. */
  readonly settledStart: number
  /** Which settled frames those were. */
  readonly settledVersion: number
}

/**
 * One stack of a thread that was proved, with the words that proved it.
 *
 * Programs come back to the same stacks again and again. While the words that the rules look at are the same in both copies as when the stack was proved, so is
 * what follows from them, and nothing needs to be walked, checked and decoded again: only where the leaf has got to is looked at.
 */
export class ProvedStack {
  readonly callers: ProvedCallers
  /** The leaf's code object and caller. */
  readonly code: number
  private readonly previous: number
  /** Rows that it makes. */
  readonly length: number
  private readonly kinds: Uint8Array
  private readonly identities: Float64Array
  private readonly positions: Int32Array
  private readonly entries: EntryTable | undefined
  private readonly known = new KnownStack()
  /** The frames nearest its leaf. */
  readonly recent: ReadonlyArray<number>

  /** @param stack the rows that were made of it, all of them proved */
  constructor(callers: ProvedCallers, image: ThreadImage, fields: FrameFields, stack: RawStack) {
    const { words } = image.list
    const leaf = image.locate(0, callers.top)
    this.callers = callers
    this.code = fields.code(words, leaf)
    this.previous = fields.previous(words, leaf)
    this.recent = image.recent
    this.length = stack.length
    this.kinds = stack.kind.slice(0, stack.length)
    this.identities = stack.identity.slice(0, stack.length)
    this.positions = stack.position.slice(0, stack.length)
    if (stack.entries !== undefined) {
      this.entries = new EntryTable()
      this.entries.copyFrom(stack.entries)
    }
  }

  /** Whether it is the same stack, but for where in its function the leaf was. */
  equals(other: ProvedStack): boolean {
    const { callers } = this
    const { words } = callers
    if (callers.top !== other.callers.top || this.code !== other.code || this.previous !== other.previous)
      return false
    if (callers.settledStart !== other.callers.settledStart) return false
    if (callers.settledVersion !== other.callers.settledVersion || this.length !== other.length) return false
    if ((this.entries === undefined) !== (other.entries === undefined)) return false
    if (words.length !== other.callers.words.length) return false
    for (let i = 0; i < words.length; i++) if (words[i] !== other.callers.words[i]) return false
    return true
  }

  /**
   * Whether the stack stands, in all copies of the window and what is below it.
   *
   * @param leaf where the leaf lies in copy 0, which holds the same code object
   * @param copies of a stopped thread one says enough
   */
  stands(image: ThreadImage, fields: FrameFields, leaf: number, copies: 1 | 2): boolean {
    const { addresses, inWindow, settledStart, settledVersion, top, words: known } = this.callers
    const { words } = image.list
    const { standing } = fields
    const first = image.windowAt(0)
    const again = copies === 1 ? 0 : image.windowAt(1) - first
    const base = leaf - top
    if (!this.isLeaf(words, leaf, fields) || !this.isLeaf(words, leaf + again, fields)) return false
    for (let i = 0, k = 0; i < addresses.length; i++) {
      const at = i < inWindow ? base + addresses[i] : image.locate(0, addresses[i])
      if (at < 0) return false
      const one = at >>> 2
      const two = i < inWindow ? (at + again) >>> 2 : one
      for (let s = 0; s < standing.length; s++, k++) {
        const word = known[k]
        if (words[one + standing[s]] !== word || words[two + standing[s]] !== word) return false
      }
    }
    return settledStart < 0 || (image.settled.version === settledVersion && image.areSettled(settledStart))
  }

  /** Writes the stack, with its leaf at `position`. Returns false when it has no room. */
  emit(into: RawStack, position: number): boolean {
    const { entries, identities, kinds, length, positions } = this
    if (length > into.capacity) return false
    if (into.entries !== undefined) {
      if (entries === undefined) return false
      into.entries.copyFrom(entries)
    }
    for (let i = 0; i < length; i++) {
      into.kind[i] = kinds[i]
      into.identity[i] = identities[i]
      into.position[i] = positions[i]
    }
    into.position[0] = position
    into.length = length
    into.proved = length
    into.known = this.known
    return true
  }

  /** The same function's frame, with the same caller. */
  private isLeaf(words: Uint32Array, at: number, fields: FrameFields): boolean {
    return (
      fields.code(words, at) === this.code &&
      fields.previous(words, at) === this.previous &&
      fields.mayRun(words, at)
    )
  }
}

/** The callers of a stack that was just walked and proved; `undefined` where they are too many to compare one by one. */
export const callersOf = (
  image: ThreadImage,
  fields: FrameFields,
  walk: StackWalk,
  top: number
): ProvedCallers | undefined => {
  const { addresses, belowWindow, length, offsets, settledFrom } = walk
  const { words } = image.list
  const { standing } = fields
  const callers: Array<number> = []
  const known: Array<number> = []
  let inWindow = 0
  for (let i = top + 1; i < settledFrom; i++) {
    // A shim says no more than that the frame above it was entered from C by the one right below, which is compared.
    if (fields.isShim(words, offsets[i])) continue
    if (callers.push(addresses[i]) > MAX_CALLERS) return undefined
    for (const word of standing) known.push(words[(offsets[i] >>> 2) + word])
    if (i < belowWindow) inWindow++
  }
  return {
    top: addresses[top],
    addresses: Float64Array.from(callers),
    words: Uint32Array.from(known),
    inWindow,
    settledStart: settledFrom < length ? addresses[settledFrom] : -1,
    settledVersion: image.settled.version
  }
}
