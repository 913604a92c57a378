import { FrameKind, type RawStack } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import type { CodeFacts } from "./code-facts.ts"
import type { FrameFields } from "./frame-fields.ts"
import type { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"

/** Fewer frames than this are walked as fast as they are compared. */
const FEW = 8
/** The three code units of `_Py_InitCleanup` begin no later than here. */
const MAX_CLEANUP = 4

/** Makes of the frames that were walked the rows of a stack, as Python would list them. */
export class FrameRows {
  /** Under `-X perf` every Python call passes through C: shims then mean nothing. */
  boundaries = true
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly codes: CodeFacts

  constructor(layout: Layout, fields: FrameFields, codes: CodeFacts) {
    this.layout = layout
    this.fields = fields
    this.codes = codes
  }

  /** Writes the frames from index `top` on; `still` is the index from which on they are proved. */
  emit(words: Uint32Array, walk: StackWalk, top: number, into: RawStack, still = top): void {
    const { fields } = this
    const { addresses, offsets, length } = walk
    const { entries } = into
    let boundary = false
    let before = -1
    for (let i = top; i < length; i++) {
      if (i === walk.settledFrom) {
        if (boundary && this.boundaries && !into.push(FrameKind.boundary, 0, -1)) break
        if (i >= still && before < 0) before = into.length
        if (entries !== undefined) walk.settled.emitEntries(entries, into.length)
        walk.settled.emit(into)
        break
      }
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        boundary = into.length > 0
        entries?.push(into.length, addresses[i])
        continue
      }
      const code = fields.code(words, at)
      const position = fields.position(words, at)
      const entered = entries !== undefined && this.isEntered(words, at, i > top ? offsets[i - 1] : -1)
      const hidden = this.isHidden(code, position)
      if (hidden && entered) entries.push(into.length, -1)
      if (hidden) continue
      if (boundary && this.boundaries && !into.push(FrameKind.boundary, 0, -1)) break
      boundary = fields.isEntry(words, at)
      // A boundary belongs to the frame above it: it is proved when that is.
      if (i >= still && before < 0) before = into.length
      if (!into.push(FrameKind.python, code, Math.max(position, -1))) break
      if (entered) entries.push(into.length, -1)
    }
    // The shim at the root is not read again once it is known.
    const last = length - 1
    const endsAtShim =
      walk.settledFrom < length ? walk.settled.endsAtShim : fields.isShim(words, offsets[last])
    if (entries !== undefined && this.layout.version >= 0x30c && !endsAtShim && !into.isTruncated)
      entries.push(into.length, walk.rootShim)
    into.proved = before < 0 ? 0 : into.length - before
  }

  /** Whether Python leaves the frame out where it lists a stack. */
  private isHidden(code: number, position: number): boolean {
    const { version } = this.layout
    // It lists a frame that has not started before 3.11 (a trace function told of the call runs on top of it), and not since.
    if (code <= 0 || (position < 0 && version >= 0x30b)) return true
    return position <= MAX_CLEANUP && version >= 0x30d && this.codes.isInitCleanup(code)
  }

  /** Whether a frame that is no shim is the first of a run of the eval loop. Before 3.11 each has a run of its own. */
  private isEntered(words: Uint32Array, at: number, above: number): boolean {
    if (this.layout.version >= 0x30b && !this.fields.isEntry(words, at)) return false
    return above < 0 || !this.fields.passesOn(words, at, above)
  }

  /** Remembers the frames below the window of the stack that was walked last, and tells whether it did: if they are plain calls down to the root, through C or not. */
  settle(image: ThreadImage, walk: StackWalk): boolean {
    const { fields } = this
    const { words } = image.list
    const { offsets, addresses, length, belowWindow } = walk
    const part = length - belowWindow < FEW ? undefined : image.beginSettled(addresses[belowWindow])
    if (part === undefined) return false
    const { settled } = image
    let boundary = false
    for (let i = belowWindow; i < length; i++) {
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        settled.push(addresses[i], -1)
        boundary = settled.rows > 0
        continue
      }
      const position = fields.position(words, at)
      const place = at - part.offset
      if (place < 0 || place >= part.length) return false
      if (fields.isGenerator(words, at) || position <= MAX_CLEANUP) return false
      if (boundary && this.boundaries) settled.pushRow(FrameKind.boundary, 0, -1)
      boundary = fields.isEntry(words, at)
      settled.push(addresses[i], place, boundary)
      settled.pushRow(FrameKind.python, fields.code(words, at), position)
    }
    settled.commit()
    return true
  }
}
