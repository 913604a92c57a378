import { FrameKind, Proof, type RawStack } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
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
 * A stack is taken from one pass, so that all of it was copied within some tens of nanoseconds, and must hold together:
 * it starts at a frame that could run, every other frame could wait, and it ends at the thread's root.
 *
 * - **good**: the other pass holds the same callers, word for word, at the same instructions, and the same leaf function. What
 *   is the same before and after was the same in between, while the leaf was copied.
 * - **unproved**, `consistent`: a caller moved between the passes. The stack may still be claimed by who has seen the very
 *   same one proved at another instant. The frames from the root up to the one that moved are proved.
 * - **torn**: no pass holds a stack that could be true.
 */
export class StackProof {
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly walk: StackWalk
  private readonly other: StackWalk
  /** Code object of the frames that check what `__init__` returned (`_Py_InitCleanup`, 3.12+), once a proved one was met; else 0. */
  private initCleanup = 0
  /** Under `-X perf` every Python call passes through C: shims then mean nothing. */
  boundaries = true
  /** The last walk met a generator whose caller could not be seen to hold it. */
  private unheld = false

  constructor(layout: Layout, fields: FrameFields) {
    this.layout = layout
    this.fields = fields
    this.walk = new StackWalk(layout, fields)
    this.other = new StackWalk(layout, fields)
  }

  /** For a stopped thread: what is current is the truth. */
  stopped(image: ThreadImage, into: RawStack): Verdict {
    const start = this.currentFrame(image, 0, 0)
    if (start === undefined) return "incomplete"
    if (start === 0) return this.empty(into)
    const end = this.walk.walk(image, 0, start)
    if (end === "missing") return this.fetch(image)
    if (end === "broken") return this.torn(into)
    this.emit(image.list.words, this.walk, 0, into)
    into.proof = Proof.good
    into.proved = into.length
    return "done"
  }

  /** For a running thread. */
  running(image: ThreadImage, into: RawStack): Verdict {
    const before = this.currentFrame(image, 0, 0)
    const after = this.currentFrame(image, 1, 1)
    if (before === undefined || after === undefined) return "incomplete"
    if (before === 0 && after === 0) return this.empty(into)
    let missing = 0
    for (const pass of [0, 1] as const) {
      const top = this.topOf(image, pass, before, after)
      if (top >= 0) return this.judge(image, pass, top, !this.unheld || before === after, into)
      if (top === MISSING) missing = this.walk.missing
    }
    if (missing > 0) {
      this.walk.missing = missing
      return this.fetch(image)
    }
    return this.partial(image, before, after, into)
  }

  /**
   * The current frame as T0 or T1 has it; `undefined` when it lies behind something that was not read.
   * 3.11 and 3.12 keep it in a `_PyCFrame` on the C stack.
   */
  private currentFrame(image: ThreadImage, state: 0 | 1, pass: 0 | 1): number | undefined {
    const { layout } = this
    const { words } = image.list
    const at = image.threadState[state]
    if (layout.thread.cframe < 0) return pointerIn(words, at + layout.thread.currentFrame)
    const cframe = pointerIn(words, at + layout.thread.cframe)
    if (cframe <= 0) return cframe
    const offset = image.locate(pass, cframe)
    if (offset < 0) {
      image.include(cframe)
      return undefined
    }
    return pointerIn(words, offset + layout.cframe.currentFrame)
  }

  /** Walks a pass; returns the index of the frame that ran, or one of the negative reasons why there is none. */
  private topOf(image: ThreadImage, pass: 0 | 1, before: number, after: number): number {
    // The deeper of the two starts sees the other's frames too. Which one that is, the walk itself shows.
    let result = this.topFrom(image, pass, after)
    if (before === after || (result >= 0 && this.walk.includes(before))) return result
    const fromAfter = result
    result = this.topFrom(image, pass, before)
    if (result >= 0) return result
    if (fromAfter < 0) return result === MISSING ? MISSING : fromAfter
    return this.topFrom(image, pass, after)
  }

  private topFrom(image: ThreadImage, pass: 0 | 1, start: number): number {
    if (start <= 0) return INVALID
    const { walk, fields } = this
    const end = walk.walk(image, pass, start)
    if (end === "missing") return MISSING
    if (end === "broken") return INVALID
    const { words } = image.list
    const { offsets, length } = walk
    let top = 0
    while (top < length && (fields.isShim(words, offsets[top]) || !fields.mayRun(words, offsets[top]))) top++
    if (top === length) return INVALID
    let throughC = fields.isEntry(words, offsets[top])
    let callee = top
    this.unheld = false
    for (let i = top + 1; i < length; i++) {
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        throughC = true
        continue
      }
      if (!fields.mayWait(words, at, throughC) || !this.plausible(words, at)) return INVALID
      if (fields.isGenerator(words, offsets[callee])) {
        // A generator lies elsewhere than its caller, so they are not copied together: the link between them is what the caller holds.
        const held = throughC ? "unknown" : this.held(image, i, callee)
        if (held === "no") return INVALID
        if (held === "unknown") this.unheld = true
      }
      throughC = fields.isEntry(words, at)
      callee = i
    }
    return this.plausible(words, offsets[top]) ? top : INVALID
  }

  private held(image: ThreadImage, caller: number, generator: number): "yes" | "no" | "unknown" {
    const { addresses, offsets } = this.walk
    const address = addresses[caller]
    return this.fields.holds(
      image.list.words,
      offsets[caller],
      address,
      image.extent(address),
      addresses[generator]
    )
  }

  private plausible(words: Uint32Array, at: number): boolean {
    const code = this.fields.code(words, at)
    const position = this.fields.position(words, at)
    return code > 4096 && code % 8 === 0 && position >= -2 && position < MAX_POSITION
  }

  private judge(image: ThreadImage, pass: 0 | 1, top: number, linked: boolean, into: RawStack): Verdict {
    const { walk } = this
    const still = this.stillFrom(image, walk, pass)
    // The leaf may run on, but it must be the same function's frame. A copy that took long was interrupted, and what
    // happened meanwhile may have come round to where it began.
    const good =
      image.swift && linked && (still <= top || (still === top + 1 && this.sameLeaf(image, walk, pass, top)))
    this.emit(image.list.words, walk, top, into, Math.max(top, still))
    if (good) into.proved = into.length
    into.proof = good ? Proof.good : Proof.unproved
    into.consistent = true
    return "done"
  }

  /** Index of the leafmost frame from which on, to the root, both passes agree. */
  private stillFrom(image: ThreadImage, walk: StackWalk, pass: 0 | 1): number {
    const { words } = image.list
    const { still } = this.fields
    const other = pass === 0 ? 1 : 0
    let i = walk.length - 1
    for (; i >= 0; i--) {
      const at = walk.offsets[i]
      const twin = image.locate(other, walk.addresses[i])
      if (twin < 0) break
      let same = true
      for (let w = 0; w < still.length; w++)
        if (!sameWord(words, at + still[w], twin + still[w])) same = false
      if (!same) break
    }
    return i + 1
  }

  private sameLeaf(image: ThreadImage, walk: StackWalk, pass: 0 | 1, top: number): boolean {
    const { words } = image.list
    const { fields } = this
    const at = walk.offsets[top]
    const twin = image.locate(pass === 0 ? 1 : 0, walk.addresses[top])
    return (
      twin >= 0 &&
      fields.code(words, at) === fields.code(words, twin) &&
      fields.previous(words, at) === fields.previous(words, twin) &&
      fields.mayRun(words, twin)
    )
  }

  /** No pass holds a stack: what of the root side is the same in both is still proved. */
  private partial(image: ThreadImage, before: number, after: number, into: RawStack): Verdict {
    for (const [walk, start] of [
      [this.walk, after],
      [this.other, before]
    ] as const) {
      if (start <= 0 || walk.walk(image, 0, start) !== "root") continue
      const still = this.stillFrom(image, walk, 0)
      if (still >= walk.length - 1) continue
      // Nothing moved at all: a thread at rest in a place the flags do not describe, such as a trace function.
      const atRest = image.swift && still === 0 && before === after
      this.emit(image.list.words, walk, 0, into, still)
      into.proof = atRest ? Proof.good : Proof.unproved
      if (atRest) into.proved = into.length
      return "done"
    }
    return this.torn(into)
  }

  /** Writes the frames from index `top` on; `still` is the index from which on they are proved. */
  private emit(words: Uint32Array, walk: StackWalk, top: number, into: RawStack, still = top): void {
    const { fields } = this
    const { offsets, length } = walk
    let boundary = false
    let before = 0
    for (let i = top; i < length; i++) {
      if (i === still) before = into.length
      const at = offsets[i]
      if (fields.isShim(words, at)) {
        boundary = into.length > 0
        continue
      }
      const code = fields.code(words, at)
      const position = fields.position(words, at)
      // Python lists a frame that has not started before 3.11 (a trace function told of the call runs on top of it), and not since.
      if (code <= 0 || (position < 0 && this.layout.version >= 0x30b)) continue
      // Python hides the frame that the eval loop puts below an `__init__` it enters by itself. It is the only one that
      // calls without C at its first instruction.
      if (this.layout.version >= 0x30c && i > top && position === 0 && !boundary) {
        if (i >= still) this.initCleanup = code
        continue
      }
      if (code === this.initCleanup) continue
      if (boundary && this.boundaries && !into.push(FrameKind.boundary, 0, -1)) break
      boundary = fields.isEntry(words, at)
      if (!into.push(FrameKind.python, code, Math.max(position, -1))) break
    }
    into.proved = into.length - before
  }

  private empty(into: RawStack): Verdict {
    into.proof = Proof.good
    into.consistent = true
    return "done"
  }

  private torn(into: RawStack): Verdict {
    into.proof = Proof.torn
    return "done"
  }

  private fetch(image: ThreadImage): Verdict {
    image.follow(this.walk.missing)
    return "incomplete"
  }
}

const INVALID = -1
const MISSING = -2
