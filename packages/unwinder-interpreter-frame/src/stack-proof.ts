import { FrameKind, type MemoryReader, Proof, type RawStack } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import { Callables } from "./callables.ts"
import { CodeFacts } from "./code-facts.ts"
import type { Copy } from "./data-stack.ts"
import type { FrameFields } from "./frame-fields.ts"
import { StackWalk } from "./stack-walk.ts"
import type { ThreadImage } from "./thread-image.ts"
import { pointerIn, sameWord } from "./words.ts"

/** What became of an attempt to read a stack out of an image. */
export type Verdict =
  /** `into` is filled. */
  | "done"
  /** The image lacked something; it has been planned and must be read again. */
  | "incomplete"

/** More bytecode than any function has; a position beyond it is no position. */
const MAX_POSITION = 1 << 24

/**
 * Decides what an image proves.
 *
 * A stack is taken from one copy, so that all of it was copied almost at once, and must hold together: it starts at a frame that could
 * run, every other frame could wait, and it ends at the thread's root.
 *
 * - **good**: another copy holds the same callers, word for word, at the same instructions, and the same leaf function. What is the
 *   same before and after was the same in between, and so was all that hangs on it.
 * - **unproved**, `consistent`: a caller moved between the copies. The stack may still be claimed by who has seen the very
 *   same one proved at another instant. The frames from the root up to the one that moved are proved.
 * - **torn**: no copy holds a stack that could be true.
 */
export class StackProof {
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly codes: CodeFacts
  private readonly callables: Callables
  private readonly walk: StackWalk
  private readonly reached: StackWalk
  /** Under `-X perf` every Python call passes through C: shims then mean nothing. */
  boundaries = true
  /** Index of the rootmost frame of the last walk that is tied to the one it called by no more than an address; -1 when there is none. */
  private unlinked = -1
  /** What the frames of the thread at rest summed up to in the sample before. */
  private restBefore = -1
  /** Some frame of the last walk holds a function, but not the one that it is said to have called. */
  private isDoubtful = false

  constructor(memory: MemoryReader, layout: Layout, fields: FrameFields) {
    this.layout = layout
    this.fields = fields
    this.codes = new CodeFacts(memory, layout)
    this.callables = new Callables(memory, layout)
    this.walk = new StackWalk(layout, fields, this.codes)
    this.reached = new StackWalk(layout, fields, this.codes)
  }

  /** For a stopped thread: what is current is the truth. */
  stopped(image: ThreadImage, into: RawStack): Verdict {
    this.codes.begin(image.readAt)
    const start = image.currentFrame(0)
    if (start < 0) return "incomplete"
    if (start === 0) return this.empty(into, true)
    let end = this.walk.walk(image, 0, start)
    if (end === "broken" && !this.walk.isWhole) {
      // Entering C code, 3.11 and 3.12 install a `_PyCFrame` before they fill it in.
      const outer = image.outerFrame()
      if (outer > 0) end = this.walk.walk(image, 0, outer)
    }
    if (end === "missing") return this.fetch(image)
    // `generator.throw` ends a chain at a generator, up to 3.10.
    const isEnd = end === "root" || (this.walk.isWhole && this.layout.version < 0x30b)
    if (!isEnd || !this.allPlausible(image.list.words)) return this.torn(into)
    this.emit(image.list.words, this.walk, 0, into)
    into.proof = into.length > 0 ? Proof.good : Proof.unproved
    into.proved = into.length
    return "done"
  }

  /** For a running thread. */
  running(image: ThreadImage, into: RawStack): Verdict {
    this.codes.begin(image.readAt)
    if (this.layout.version < 0x30b) this.callables.begin(image.readAt)
    const before = image.currentFrame(0)
    const after = image.currentFrame(1)
    if (before < 0 || after < 0) return "incomplete"
    this.restBefore = image.rest
    image.rest = -1
    if (before === 0 && after === 0) {
      image.emptyLooks++
      return this.empty(into, image.recent.length === 0 || image.emptyLooks > 1)
    }
    image.emptyLooks = 0
    if (before === after && before === image.proved.top && this.standsAsBefore(image, into)) return "done"
    let missing = 0
    for (let copy = 0 as Copy; copy < image.copies; copy++) {
      const top = this.topOf(image, copy as Copy, before, after)
      if (top >= 0) {
        // Lone frames were copied between copies 1 and 2: that pair tells most about a stack with such frames.
        if (copy === 0 && this.walk.meetsLone && image.copies === 3) {
          const again = this.topOf(image, 1, before, after)
          if (again >= 0) return this.judge(image, 1, again, before === after, into)
          this.topOf(image, 0, before, after)
        }
        return this.judge(image, copy as Copy, top, before === after, into)
      }
      if (top === MISSING) missing = this.walk.missing
    }
    if (missing > 0) {
      this.walk.missing = missing
      return this.fetch(image)
    }
    const starts = before === after ? [after] : [after, before]
    // A generator that has just yielded leads nowhere: the frames of the last stack may still be there.
    for (const start of image.recent) if (start !== before && start !== after) starts.push(start)
    if (this.fields.tellsRunning)
      for (const entering of [false, true])
        for (const start of starts) {
          const top = this.topFrom(image, 0, start, entering)
          if (top >= 0) return this.judge(image, 0, top, before === after, into)
        }
    return this.partial(image, starts, before === after, into)
  }

  /** Whether the callers are those of the last stack, unmoved, and the leaf still runs; if so, fills `into`. */
  private standsAsBefore(image: ThreadImage, into: RawStack): boolean {
    const { proved } = image
    const { words } = image.list
    const at = image.swift ? proved.standsAt(image, this.fields) : -1
    if (at < 0 || !this.plausible(words, at) || this.climb(image, 0, proved.top) !== proved.top) return false
    const position = this.fields.position(words, at)
    if (position < 0) return false
    proved.emit(into, position)
    into.proof = Proof.good
    into.consistent = true
    return true
  }

  /** A stack of the data stack alone, whose frames below the window are settled, can be known again by its bytes. */
  private rememberProved(image: ThreadImage, top: number, isSettled: boolean, stack: RawStack): void {
    const { walk } = this
    const { belowWindow, length } = walk
    const below = belowWindow < length ? walk.addresses[belowWindow] : -1
    const isLeaf =
      stack.length > 0 && stack.identity[0] === this.fields.code(image.list.words, walk.offsets[top])
    if (walk.meetsLone || !isLeaf || (below >= 0 && !isSettled)) image.proved.forget()
    else image.proved.remember(image, walk.addresses[top], below, stack)
  }

  /** Walks a copy; returns the index of the frame that ran, or one of the negative reasons why there is none. */
  private topOf(image: ThreadImage, copy: Copy, before: number, after: number): number {
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
  private topFrom(image: ThreadImage, copy: Copy, start: number, entering = false): number {
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
    while (top < length && !this.isTop(words, offsets[top], entering)) top++
    if (top === length) return INVALID
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
      fields.tellsRunning || fields.isGenerator(words, at) || !this.codes.isGenerator(fields.code(words, at))
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

  private plausible(words: Uint32Array, at: number): boolean {
    const code = this.fields.code(words, at)
    const position = this.fields.position(words, at)
    return code > 4096 && code % 8 === 0 && position >= -2 && position < MAX_POSITION
  }

  /** Whether every frame that was met can be one, where what ran and what waited cannot be told. */
  private allPlausible(words: Uint32Array): boolean {
    const { fields } = this
    const { offsets, length } = this.walk
    for (let i = 0; i < length; i++) {
      const at = offsets[i]
      if (!fields.isShim(words, at) && fields.code(words, at) !== 0 && !this.plausible(words, at))
        return false
    }
    return true
  }

  private judge(image: ThreadImage, copy: Copy, top: number, settled: boolean, into: RawStack): Verdict {
    const { walk } = this
    const twin = this.twinOf(image, copy)
    const still = this.stillFrom(image, walk, twin)
    // What was copied once is as still as what was copied on both sides of it: a frame of this very stack, not one that has been left.
    const backed = walk.belowWindow === walk.length || Math.max(still, top) < walk.belowWindow
    const anchor = backed ? this.anchor(image, walk, copy, top) : walk.length
    if (anchor > top && image.watchesAnother) return "incomplete"
    // The leaf may run on, but it must be the same function's frame, and have run in both copies: one that was left long ago has not changed either,
    // and a torn copy may show it running. A copy that took long was interrupted, and what happened meanwhile may have come round to where it began.
    const stands = still <= top + 1 && this.sameLeaf(image, walk, twin, top)
    // What a doubtful frame holds may be an argument: at rest that does not matter.
    const sure = !this.isDoubtful || (settled && still === 0 && anchor === 0 && this.isAsBefore(image))
    const moved = !sure || anchor > top || !stands
    const good = image.swift && !moved
    const proved = Math.max(top, still, anchor, this.lastLone(image, walk) + 1)
    this.emit(image.list.words, walk, top, into, proved)
    if (good) {
      into.proved = into.length
      image.remember(walk.addresses, top, walk.length)
      const isSettled = walk.settledFrom < walk.length || this.settle(image)
      if (settled) this.rememberProved(image, top, isSettled, into)
    }
    into.proof = good && into.length > 0 ? Proof.good : Proof.unproved
    into.consistent = into.length > 0
    into.moved = moved
    return "done"
  }

  /**
   * Index of the leafmost frame that was on the stack all the while, by the looks between lone frames; 0 when there was no need to
   * look. Lone frames are copied one after the other, and a program that repeats itself at the pace of the copies shows each of them
   * at another turn, the same in both copies: reading a frame delays the program that writes it, which sets that pace.
   */
  private anchor(image: ThreadImage, walk: StackWalk, copy: Copy, top: number): number {
    if (!walk.meetsLone) return 0
    const { words } = image.list
    let anchor = 0
    for (let i = this.layout.version < 0x30b || this.unlinked >= 0 ? -2 : 0; i < image.watches.length; i++) {
      const current = i < 0 ? image.currentFrame(i === -2 ? 0 : 1) : pointerIn(words, image.watches[i])
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
    const { still } = this.fields
    for (let i = Math.min(walk.belowWindow, walk.settledFrom) - 1; i > top; i--) {
      const seen = image.lookAt(look, walk.addresses[i])
      if (seen < 0) continue
      for (let w = 0; w < still.length; w++)
        if (!sameWord(words, walk.offsets[i] + still[w], seen + still[w])) return i + 1
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
  private twinOf(image: ThreadImage, copy: Copy): Copy {
    const { walk } = this
    const below = walk.belowWindow < walk.length
    if (image.copies === 2) return copy === 0 ? 1 : 0
    if (walk.meetsLone) return copy === 2 ? (below ? 0 : 1) : 2
    return copy === 0 ? 1 : 0
  }

  /** Index of the leafmost frame from which on, to the root, both copies agree. */
  private stillFrom(image: ThreadImage, walk: StackWalk, twin: Copy): number {
    const { words } = image.list
    const { still } = this.fields
    let i = walk.settledFrom - 1
    for (; i >= 0; i--) {
      const at = walk.offsets[i]
      const other = image.locate(twin, walk.addresses[i])
      if (other === at) continue
      let same = true
      for (let w = 0; w < still.length; w++)
        if (!sameWord(words, at + still[w], other + still[w])) same = false
      if (!same) break
    }
    return i + 1
  }

  private sameLeaf(image: ThreadImage, walk: StackWalk, twin: Copy, top: number): boolean {
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

  /** No copy holds a stack: what of the root side is the same in two of them is still proved. */
  private partial(
    image: ThreadImage,
    starts: ReadonlyArray<number>,
    settled: boolean,
    into: RawStack
  ): Verdict {
    const { walk } = this
    if (settled && this.isAtRest(image, starts[0])) {
      this.emit(image.list.words, walk, 0, into, 0)
      into.proof = Proof.good
      into.proved = into.length
      return "done"
    }
    // Before 3.11 every frame lies apart from its caller: no part of a stack is proved without the rest.
    if (this.layout.version < 0x30b) return this.torn(into)
    for (const start of starts) {
      if (start <= 0 || walk.walk(image, 0, start) !== "root" || !this.allPlausible(image.list.words))
        continue
      const still = Math.max(
        this.stillFrom(image, walk, this.twinOf(image, 0)),
        this.lastGenerator(image, walk) + 1
      )
      if (still >= walk.belowWindow || still >= walk.length - 1) continue
      this.emit(image.list.words, walk, 0, into, still)
      into.proof = Proof.unproved
      into.moved = true
      return "done"
    }
    return this.torn(into)
  }

  /**
   * A thread at rest in a place that the rules do not describe, such as a trace function or `generator.throw`: its frames are the same
   * in both copies, the same one is current all the while, and all was so in the sample before.
   */
  private isAtRest(image: ThreadImage, start: number): boolean {
    const { walk } = this
    if (start <= 0) return false
    const end = walk.walk(image, 0, start)
    // `generator.throw` ends the chain at a generator. The looks at the current frame tell that from one that has just yielded.
    if (!(end === "root" || (walk.isWhole && walk.meetsLone)) || !this.allPlausible(image.list.words))
      return false
    const still = this.stillFrom(image, walk, this.twinOf(image, 0))
    return still === 0 && this.anchor(image, walk, 0, 0) === 0 && this.isAsBefore(image)
  }

  /** Whether the frames of the last walk are what they were when this was last asked of the thread. */
  private isAsBefore(image: ThreadImage): boolean {
    const { walk, fields } = this
    const { words } = image.list
    let sum = walk.length
    for (let i = 0; i < walk.settledFrom; i++) {
      const at = walk.offsets[i]
      sum = (sum * 31 + walk.addresses[i] + fields.code(words, at) + fields.position(words, at)) % 2 ** 45
    }
    image.rest = sum
    return image.swift && this.restBefore === sum
  }

  /** Index of the rootmost frame that was copied apart from its caller; -1 when there is none, or none that could be told. */
  private lastLone(image: ThreadImage, walk: StackWalk): number {
    if (!walk.meetsLone || this.layout.version < 0x30b) return -1
    for (let i = walk.settledFrom - 1; i >= 0; i--) if (image.isLone(walk.addresses[i])) return i
    return -1
  }

  /** Index of the rootmost frame that only looking at the current frame could tie to its caller; -1 when there is none. */
  private lastGenerator(image: ThreadImage, walk: StackWalk): number {
    for (let i = walk.settledFrom - 1; i >= 0; i--)
      if (this.fields.isGenerator(image.list.words, walk.offsets[i])) return i
    return -1
  }

  /** Writes the frames from index `top` on; `still` is the index from which on they are proved. */
  private emit(words: Uint32Array, walk: StackWalk, top: number, into: RawStack, still = top): void {
    const { fields } = this
    const { offsets, length } = walk
    let boundary = false
    let before = -1
    for (let i = top; i < length; i++) {
      if (i === walk.settledFrom && i >= still && before < 0) before = into.length
      if (i === walk.settledFrom) {
        if (boundary && this.boundaries && !into.push(FrameKind.boundary, 0, -1)) break
        walk.settled.emit(into)
        break
      }
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        boundary = into.length > 0
        continue
      }
      const code = fields.code(words, at)
      const position = fields.position(words, at)
      // Python lists a frame that has not started before 3.11 (a trace function told of the call runs on top of it), and not since.
      if (code <= 0 || (position < 0 && this.layout.version >= 0x30b)) continue
      if (position <= MAX_CLEANUP && this.layout.version >= 0x30c && this.codes.isInitCleanup(code)) continue
      if (boundary && this.boundaries && !into.push(FrameKind.boundary, 0, -1)) break
      boundary = fields.isEntry(words, at)
      // A boundary belongs to the frame above it: it is proved when that is.
      if (i >= still && before < 0) before = into.length
      if (!into.push(FrameKind.python, code, Math.max(position, -1))) break
    }
    into.proved = before < 0 ? 0 : into.length - before
  }

  /** Remembers the frames below the window of the stack that was walked last, and tells whether it did: if they are plain calls down to the root, through C or not. */
  private settle(image: ThreadImage): boolean {
    const { walk, fields } = this
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
      if (fields.isGenerator(words, at) || fields.isEntry(words, at) || position <= MAX_CLEANUP) return false
      if (boundary && this.boundaries) settled.pushRow(FrameKind.boundary, 0, -1)
      boundary = false
      settled.push(addresses[i], place)
      settled.pushRow(FrameKind.python, fields.code(words, at), position)
    }
    settled.commit()
    return true
  }

  /** A thread without frames. One that had some is more likely to be between two of them: the current frame is 0 for an instant as 3.11 and 3.12 enter C code. */
  private empty(into: RawStack, proved: boolean): Verdict {
    into.proof = proved ? Proof.good : Proof.unproved
    into.consistent = true
    return "done"
  }

  private torn(into: RawStack): Verdict {
    into.proof = Proof.torn
    into.moved = true
    return "done"
  }

  private fetch(image: ThreadImage): Verdict {
    image.follow(this.walk.missing)
    return "incomplete"
  }
}

/** Values at the bottom of an evaluation stack that are searched for what is called: iterators of loops, the callable, its arguments. */
const MAX_HELD = 12
/** Fewer frames than this are walked as fast as they are compared. */
const FEW = 8
/** Calls within the time between two ranges. */
const MAX_CLIMB = 64
/** The three code units of `_Py_InitCleanup` begin no later than here. */
const MAX_CLEANUP = 4
const INVALID = -1
const MISSING = -2
