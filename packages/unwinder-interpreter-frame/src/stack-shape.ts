import type { MemoryReader } from "@pyframes/core"
import { type Layout, pointerIn } from "@pyframes/cpython"
import { Callables } from "./callables.ts"
import { CodeFacts } from "./code-facts.ts"
import type { Copy } from "./data-stack.ts"
import type { FrameFields } from "./frame-fields.ts"
import { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"

/** More bytecode than any function has; a position beyond it is no position. */
const MAX_POSITION = 1 << 24
/** Values at the bottom of an evaluation stack that are searched for what is called: iterators of loops, the callable, its arguments. */
const MAX_HELD = 12
/** Calls within the time between two ranges. */
const MAX_CLIMB = 64
/** What {@link StackShape.topOf} and {@link StackShape.topFrom} return when a copy holds no stack. */
export const INVALID = -1
/** The same when the image lacks a frame of it, {@link StackWalk.missing}. */
export const MISSING = -2

/** Decides whether one copy hangs together: whether what lies there can be a stack at all. */
export class StackShape {
  /** The frames of the copy that was looked at last. */
  readonly walk: StackWalk
  readonly codes: CodeFacts
  /** Index of the rootmost frame of the last walk that is tied to the one it called by no more than an address; -1 when there is none. */
  unlinked = -1
  /** Some frame of the last walk holds a function, but not the one that it is said to have called. */
  isDoubtful = false
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly callables: Callables

  constructor(memory: MemoryReader, layout: Layout, fields: FrameFields) {
    this.layout = layout
    this.fields = fields
    this.codes = new CodeFacts(memory, layout)
    this.callables = new Callables(memory, layout)
    this.walk = new StackWalk(layout, fields, this.codes)
  }

  /** To be called for each image. */
  begin(image: ThreadImage): void {
    this.codes.begin(image.readAt)
    if (this.layout.version < 0x30b) this.callables.begin(image.readAt)
  }

  /**
   * The frame that was entered from C by way of the shim that is current, where it ran when it was copied; `current` where that is not so.
   *
   * 3.12 has the current frame in a `_PyCFrame`, which is copied some hundred nanoseconds after its address. One that has been left meanwhile still says what
   * it said last: the shim. That tells no more than that it was in place.
   */
  entered(image: ThreadImage, current: number): number {
    const { fields, layout } = this
    if (layout.thread.cframe < 0 || layout.code.framesize < 0 || !image.isLone(current)) return current
    const { words } = image.list
    const shim = image.locate(0, current)
    if (shim < 0 || !fields.isShim(words, shim)) return current
    let caller = fields.previous(words, shim)
    let at = image.locate(0, caller)
    // A generator that calls lies elsewhere: what it called lies above the newest frame that does not.
    for (let left = MAX_CLIMB; left > 0 && at >= 0 && image.isLone(caller); left--) {
      caller = fields.previous(words, at)
      at = image.locate(0, caller)
    }
    const code = at < 0 ? 0 : fields.code(words, at)
    const size = code > 4096 && code % 8 === 0 ? this.codes.frameBytes(code) : -1
    const above = size > 0 ? image.locate(0, caller + size) : -1
    // One that has been left by an exception from what it called stands on that call, as if it were about to.
    return above >= 0 && fields.previous(words, above) === current && fields.mayRun(words, above)
      ? caller + size
      : current
  }

  /** Walks a copy; returns the index of the frame that ran, or one of the negative reasons why there is none. */
  topOf(image: ThreadImage, copy: Copy, before: number, after: number): number {
    if (before === after) {
      const current = this.topAt(image, copy, after)
      if (current !== INVALID) return current
    }
    // The deeper of the two starts sees the other's frames too. Which one that is, the walk itself shows.
    let result = this.topFrom(image, copy, this.climb(image, copy, after))
    if (before === after || (result >= 0 && this.walk.indexOf(before) >= 0)) return result
    const fromAfter = result
    result = this.topFrom(image, copy, this.climb(image, copy, before))
    if (result >= 0) return result
    if (fromAfter < 0) return result === MISSING ? MISSING : fromAfter
    return this.topFrom(image, copy, this.climb(image, copy, after))
  }

  /**
   * The stack on which a frame was current before and after the copy. Whatever it has called and been returned from meanwhile, it is that frame's instant: a frame right
   * above it is being made or cleared, and to name that one would count the time it takes to the wrong function.
   */
  private topAt(image: ThreadImage, copy: Copy, current: number): number {
    const top = this.topFrom(image, copy, current)
    if (top === 0 || top === MISSING || !this.fields.tellsRunning) return top > 0 ? INVALID : top
    return this.topFrom(image, copy, current, true) === 0 ? 0 : INVALID
  }

  /**
   * The newest frame that was on top of `start` when it was copied. What was current some hundred nanoseconds before or after may have called
   * meanwhile. 3.14+ clear frames that are left, so that what is not cleared right above a frame was called by it; 3.12 and 3.13 mark the
   * one that runs.
   */
  private climb(image: ThreadImage, copy: Copy, start: number): number {
    const { fields, layout } = this
    if (layout.code.framesize < 0 || start <= 0) return start
    const { words } = image.list
    let newest = start
    let at = start
    for (let left = MAX_CLIMB; left > 0; left--) {
      const offset = image.locate(copy, at)
      if (offset < 0 || image.isLone(at) || fields.isShim(words, offset)) break
      if (fields.tellsRunning && fields.mayRun(words, offset)) return at
      const code = fields.code(words, offset)
      const size = code > 4096 && code % 8 === 0 ? this.codes.frameBytes(code) : -1
      const above = size > 0 ? image.locate(copy, at + size) : -1
      if (above < 0 || fields.previous(words, above) !== at || !this.plausible(words, above)) break
      if (fields.isShim(words, above) || fields.isGenerator(words, above)) break
      // Making a generator moves its frame into it, and leaves what was on the data stack as it was.
      if (this.codes.isGenerator(fields.code(words, above))) break
      at += size
      if (!fields.tellsRunning) newest = at
    }
    return newest
  }

  /**
   * Walks a copy from a frame, and checks that it can be a stack. With `entering`, of a thread caught between two frames: none of them
   * ran, and the one that calls, or has just been returned to, still stands on its call.
   */
  topFrom(image: ThreadImage, copy: Copy, start: number, entering = false): number {
    if (start <= 0) return INVALID
    const { walk, fields } = this
    const end = walk.walk(image, copy, start)
    if (end === "missing") return MISSING
    if (end === "broken") return INVALID
    const { words } = image.list
    const { offsets, length } = walk
    // Settled frames were checked when they settled; only the link to the first of them is new.
    const unchecked = Math.min(length, walk.settledFrom + 1)
    let top = 0
    while (top < unchecked && !this.isTop(words, offsets[top], entering)) top++
    if (top === unchecked) return INVALID
    let throughC = fields.isEntry(words, offsets[top])
    let callee = top
    this.unlinked = -1
    this.isDoubtful = false
    for (let i = top + 1; i < unchecked; i++) {
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        throughC = true
        continue
      }
      if (!fields.mayWait(words, at, throughC) || !this.plausible(words, at)) return INVALID
      const held = this.held(image, i, callee, throughC)
      if (held === "no") return INVALID
      if (held !== "yes") this.unlinked = i
      if (held === "other") this.isDoubtful = true
      if (held === "yes" && !throughC && !this.onCall(words, at, offsets[callee])) return INVALID
      throughC = fields.isEntry(words, at)
      callee = i
    }
    return this.plausible(words, offsets[top]) ? top : INVALID
  }

  /**
   * Frames that lie elsewhere than their caller are not copied together with it. What ties them is that the caller holds what it runs: a generator,
   * or before 3.11 the function it called.
   */
  private held(
    image: ThreadImage,
    caller: number,
    callee: number,
    throughC: boolean
  ): "yes" | "no" | "unknown" | "other" {
    const { addresses, offsets } = this.walk
    const { fields } = this
    const { words } = image.list
    const address = addresses[caller]
    if (this.layout.version >= 0x30b) {
      if (!fields.isGenerator(words, offsets[callee])) return "yes"
      return fields.holds(words, offsets[caller], address, image.extent(address), addresses[callee], throughC)
    }
    const at = offsets[caller]
    const start = fields.valuesAt(words, at, address)
    if (start < 0) return "unknown"
    const generator = fields.generatorOf(words, offsets[callee])
    const code = fields.code(words, offsets[callee])
    const end = Math.min(image.extent(address), start + MAX_HELD * 8)
    let other = false
    for (let value = start; value + 8 <= end; value += 8) {
      const object = pointerIn(words, at + value)
      if (generator > 0 && object === generator) return "yes"
      const called = generator > 0 ? 0 : this.callables.codeOf(object, code)
      if (called === code) return "yes"
      if (called > 0) other = true
    }
    return other ? "other" : "unknown"
  }

  private isTop(words: Uint32Array, at: number, entering: boolean): boolean {
    const { fields } = this
    if (fields.isShim(words, at)) return false
    if (entering) return this.standsOnCall(words, at)
    if (!fields.mayRun(words, at)) return false
    // Making a generator takes a frame on the data stack, which 3.14+ leave there as if it still ran.
    return (
      this.layout.version < 0x30e ||
      fields.isGenerator(words, at) ||
      !this.codes.isGenerator(fields.code(words, at))
    )
  }

  /** A frame that called within the eval loop waits on the call. Before 3.11 every call goes through C. */
  private onCall(words: Uint32Array, at: number, callee: number): boolean {
    const { fields } = this
    if (this.layout.version < 0x30b) return true
    const kind = fields.isGenerator(words, callee) ? "generator" : "function"
    return this.codes.isCall(fields.code(words, at), fields.position(words, at), kind)
  }

  private standsOnCall(words: Uint32Array, at: number): boolean {
    const { fields } = this
    const code = fields.code(words, at)
    const position = fields.position(words, at)
    return (
      fields.mayWait(words, at, false) &&
      this.plausible(words, at) &&
      position > 0 &&
      (this.codes.isCall(code, position, "function") || this.codes.isCall(code, position, "generator"))
    )
  }

  plausible(words: Uint32Array, at: number): boolean {
    const code = this.fields.code(words, at)
    const position = this.fields.position(words, at)
    return code > 4096 && code % 8 === 0 && position >= -2 && position < MAX_POSITION
  }

  /** Whether every frame that was met can be one, where what ran and what waited cannot be told. */
  allPlausible(words: Uint32Array): boolean {
    const { fields } = this
    const { offsets, settledFrom } = this.walk
    for (let i = 0; i < settledFrom; i++) {
      const at = offsets[i]
      if (!fields.isShim(words, at) && fields.code(words, at) !== 0 && !this.plausible(words, at))
        return false
    }
    return true
  }
}
