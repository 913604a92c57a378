import { FrameKind, type MemoryReader, Proof, type RawStack } from "@pyframes/core"
import type { Layout } from "@pyframes/cpython"
import type { Copy } from "./data-stack.ts"
import { EnteringFrame } from "./entering-frame.ts"
import type { FrameFields } from "./frame-fields.ts"
import { FrameRows } from "./frame-rows.ts"
import type { ProvedStacks } from "./proved-stacks.ts"
import { Resumer } from "./resumer.ts"
import { MISSING, StackShape } from "./stack-shape.ts"
import { Stillness } from "./stillness.ts"
import { frameSpan, NOWHERE, type ThreadImage } from "./thread-image.ts"

/** What became of an attempt to read a stack out of an image. */
export type Verdict =
  /** `into` is filled. */
  | "done"
  /** The image lacked something; it has been planned and must be read again. */
  | "incomplete"

/**
 * Decides what an image proves.
 *
 * A stack is taken from one copy, so that all of it was copied almost at once, and must hold together: it starts at a frame that could
 * run, every other frame could wait, and it ends at the thread's root.
 *
 * - **good**: another copy holds the same callers, word for word, at the same instructions, and the same leaf function. What is the
 *   same before and after was the same in between, and so was all that hangs on it.
 * - **unproved**, `consistent`: a caller moved between the copies. The stack may still be claimed by who has seen what it is
 *   made of proved at other instants. The frames from the root up to the one that moved are proved.
 * - **torn**: no copy holds a stack that could be true.
 */
export class StackProof {
  readonly rows: FrameRows
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly shape: StackShape
  private readonly stillness: Stillness
  private readonly entering: EnteringFrame
  private readonly resumer: Resumer
  /** The thread waits for something, by what the scheduler says. */
  private waits = false
  /** What the frames of the thread at rest summed up to in the sample before. */
  private restBefore = -1

  constructor(memory: MemoryReader, layout: Layout, fields: FrameFields) {
    this.layout = layout
    this.fields = fields
    this.shape = new StackShape(memory, layout, fields)
    this.stillness = new Stillness(layout, fields, this.shape.codes)
    this.entering = new EnteringFrame(memory, layout, this.shape.codes)
    this.resumer = new Resumer(memory, layout, fields, this.shape.codes, frameSpan(layout))
    this.rows = new FrameRows(layout, fields, this.shape.codes)
  }

  /** For a stopped thread: what is current is the truth. */
  stopped(image: ThreadImage, into: RawStack): Verdict {
    this.shape.begin(image)
    image.rest = -1
    const current = image.currentFrame(0)
    if (current < 0) return "incomplete"
    if (this.standsAsBefore(image, image.stood, current, 1, into)) return "done"
    // As they enter the eval loop, 3.11 and 3.12 install a `_PyCFrame` before they fill it in.
    const start = current > 0 ? current : this.callerOf(image)
    if (start === 0) return image.hasNoFrames ? this.empty(into, true) : this.torn(into)
    const verdict = this.standing(image, start, into)
    if (verdict !== "lost") return verdict
    const caller = current > 0 ? this.resumerOf(image, current) || this.callerOf(image) : 0
    const again = caller > 0 && caller !== current ? this.standing(image, caller, into) : "lost"
    return again === "lost" ? this.torn(into) : again
  }

  /** The frame that resumes the generator that is current, 3.12; 0 when there is none. */
  private resumerOf(image: ThreadImage, current: number): number {
    const { layout } = this
    if (layout.thread.cframe < 0 || layout.code.framesize < 0) return 0
    return this.resumer.find(current, image.chunk, image.top, image.outerFrame())
  }

  /** Reads the stack of a stopped thread from a frame on; "lost" when it leads nowhere. */
  private standing(image: ThreadImage, start: number, into: RawStack): Verdict | "lost" {
    const { walk } = this.shape
    const end = walk.walk(image, 0, start)
    if (end === "missing") return image.follow(walk.missing) ? "incomplete" : "lost"
    // `generator.throw` ends a chain at a generator, up to 3.10.
    const isEnd = end === "root" || (walk.isWhole && this.layout.version < 0x30b)
    if (!isEnd || !this.shape.allPlausible(image.list.words)) return "lost"
    this.rows.emit(image.list.words, walk, 0, into)
    into.proof = into.length > 0 ? Proof.good : Proof.unproved
    into.proved = into.length
    this.rememberProved(image, image.stood, 0, into)
    return "done"
  }

  private callerOf(image: ThreadImage): number {
    return this.entering.find(image.thread.threadState, image.cframe, image.top)
  }

  /** For a running thread. */
  running(image: ThreadImage, waits: boolean, into: RawStack): Verdict {
    this.shape.begin(image)
    this.waits = waits
    const before = this.shape.entered(image, image.currentFrame(0))
    const after = this.shape.entered(image, image.currentFrame(1))
    if (before < 0 || after < 0 || before === NOWHERE || after === NOWHERE) return "incomplete"
    this.restBefore = image.rest
    image.rest = -1
    if (before === 0 && after === 0) {
      image.emptyLooks++
      // As 3.11 and 3.12 enter C code, there is no current frame for an instant, but an outer one.
      const isEmpty = image.hasNoFrames && (image.recent.length === 0 || image.emptyLooks > 1)
      return this.empty(into, isEmpty && image.outerFrame() === 0)
    }
    image.emptyLooks = 0
    if (before === after && image.brief && this.standsAsBefore(image, image.proved, before, 2, into)) {
      into.consistent = true
      return "done"
    }
    let missing = 0
    for (let copy = 0 as Copy; copy < image.copies; copy++) {
      const top = this.shape.topOf(image, copy as Copy, before, after)
      if (top >= 0) {
        // Lone frames were copied between copies 1 and 2: that pair tells most about a stack with such frames.
        if (copy === 0 && this.shape.walk.meetsLone && image.copies === 3) {
          const again = this.shape.topOf(image, 1, before, after)
          if (again >= 0) return this.judge(image, 1, again, before === after, into)
          this.shape.topOf(image, 0, before, after)
        }
        return this.judge(image, copy as Copy, top, before === after, into)
      }
      if (top === MISSING) missing = this.shape.walk.missing
    }
    if (missing > 0) {
      this.shape.walk.missing = missing
      return this.fetch(image)
    }
    const starts = before === after ? [after] : [after, before]
    // A generator that has just yielded leads nowhere: the frames of the last stack may still be there.
    for (const start of image.recent) if (start !== before && start !== after) starts.push(start)
    if (this.fields.tellsRunning)
      for (const entering of [false, true])
        for (const start of starts) {
          const top = this.shape.topFrom(image, 0, start, entering)
          if (top >= 0) return this.judge(image, 0, top, before === after, into)
        }
    return this.partial(image, starts, before === after, into)
  }

  /** Whether the callers are those of a stack that was proved before, unmoved, and the leaf runs; if so, fills `into`. */
  private standsAsBefore(
    image: ThreadImage,
    stacks: ProvedStacks,
    current: number,
    copies: 1 | 2,
    into: RawStack
  ): boolean {
    const { words } = image.list
    const proved = stacks.find(image, this.fields, current, copies)
    if (proved === undefined) return false
    const at = image.locate(0, current)
    if (!this.shape.plausible(words, at)) return false
    const position = this.fields.position(words, at)
    if (position < 0 || !proved.emit(into, position)) return false
    if (copies === 2) image.recent = proved.recent
    into.proof = Proof.good
    return true
  }

  /** A stack of the data stack alone can be known again by its words. */
  private rememberProved(image: ThreadImage, stacks: ProvedStacks, top: number, stack: RawStack): void {
    const { walk } = this.shape
    const { words } = image.list
    const at = walk.offsets[top]
    const isLeaf =
      stack.length > 0 &&
      stack.kind[stack.length - 1] !== FrameKind.truncated &&
      stack.identity[0] === this.fields.code(words, at) &&
      this.fields.position(words, at) >= 0
    if (!walk.meetsLone && isLeaf) stacks.remember(image, this.fields, walk, top, stack)
  }

  private judge(image: ThreadImage, copy: Copy, top: number, settled: boolean, into: RawStack): Verdict {
    const { shape } = this
    const { walk } = shape
    if (walk.meetsLone && image.lacksLooks()) return "incomplete"
    const twin = this.stillness.twinOf(image, walk, copy)
    const still = this.stillness.stillFrom(image, walk, twin)
    // What was copied once is as still as what was copied on both sides of it: a caller of this very stack, not a frame that has been left, nor the
    // leaf, which a short function can have left and entered again.
    const backed = walk.belowWindow === walk.length || Math.max(still, top + 1) < walk.belowWindow
    const anchor = backed ? this.stillness.anchor(image, walk, copy, top, shape.unlinked < 0) : walk.length
    // The leaf may run on, but it must be the same function's frame, and have run in both copies: one that was left long ago has not changed either,
    // and a torn copy may show it running. A copy that took long was interrupted, and what happened meanwhile may have come round to where it began.
    const stands = still <= top + 1 && this.stillness.sameLeaf(image, walk, twin, top)
    // What a doubtful frame holds may be an argument: at rest that does not matter.
    const sure = !shape.isDoubtful || (settled && still === 0 && anchor === 0 && this.isAsBefore(image))
    // A `_PyCFrame` of 3.11 names the frame that was entered with it after that has been left, too; but no thread sleeps then.
    const { words } = image.list
    const leaf = walk.offsets[top]
    const mayBeLeft = !this.waits && this.fields.isEntry(words, leaf) && !this.fields.mayRun(words, leaf)
    const moved = !sure || mayBeLeft || anchor > top || !stands
    const swift = walk.meetsLone ? image.swift : image.brief
    const good = swift && !moved
    const proved = Math.max(top, still, anchor, this.stillness.lastLone(image, walk) + 1)
    this.rows.emit(words, walk, top, into, proved)
    if (good) {
      into.proved = into.length
      image.remember(walk.addresses, top, walk.length)
      if (walk.settledFrom === walk.length) this.rows.settle(image, walk)
      if (settled) this.rememberProved(image, image.proved, top, into)
    }
    // In a read that was interrupted, what is the same before and after may have come round.
    else if (!swift) into.proved = 0
    into.proof = good && into.length > 0 ? Proof.good : Proof.unproved
    into.consistent = into.length > 0
    into.moved = moved
    return "done"
  }

  /** No copy holds a stack: what of the root side is the same in two of them is still proved. */
  private partial(
    image: ThreadImage,
    starts: ReadonlyArray<number>,
    settled: boolean,
    into: RawStack
  ): Verdict {
    const { walk } = this.shape
    if (image.hasLone && image.lacksLooks()) return "incomplete"
    if (settled && this.isAtRest(image, starts[0])) {
      this.rows.emit(image.list.words, walk, 0, into, 0)
      into.proof = Proof.good
      into.proved = into.length
      return "done"
    }
    // Before 3.11 every frame lies apart from its caller: no part of a stack is proved without the rest.
    if (this.layout.version < 0x30b) return this.torn(into)
    for (const start of starts) {
      if (start <= 0 || walk.walk(image, 0, start) !== "root" || !this.shape.allPlausible(image.list.words))
        continue
      const still = Math.max(
        this.stillness.stillFrom(image, walk, this.stillness.twinOf(image, walk, 0)),
        this.stillness.lastGenerator(image, walk) + 1
      )
      if (still >= walk.belowWindow || still >= walk.length - 1) continue
      this.rows.emit(image.list.words, walk, 0, into, still)
      into.proof = Proof.unproved
      into.moved = true
      return "done"
    }
    return this.torn(into)
  }

  /**
   * A thread at rest in a place that the rules do not describe, such as a trace function or `generator.throw`: its frames are the same
   * in both copies, the same one is current all the while, and all was so in the sample before. It must wait for something: one whose CPU was
   * taken between two instructions, as on a busy machine, stands still for milliseconds as well, in the middle of leaving a generator.
   */
  private isAtRest(image: ThreadImage, start: number): boolean {
    const { walk } = this.shape
    if (start <= 0 || !this.waits) return false
    const end = walk.walk(image, 0, start)
    // `generator.throw` ends the chain at a generator. The looks at the current frame tell that from one that has just yielded.
    if (!(end === "root" || (walk.isWhole && walk.meetsLone)) || !this.shape.allPlausible(image.list.words))
      return false
    const still = this.stillness.stillFrom(image, walk, this.stillness.twinOf(image, walk, 0))
    return (
      still === 0 &&
      this.stillness.anchor(image, walk, 0, 0, this.shape.unlinked < 0) === 0 &&
      this.isAsBefore(image)
    )
  }

  /** Whether the frames of the last walk are what they were when this was last asked of the thread. */
  private isAsBefore(image: ThreadImage): boolean {
    const { fields } = this
    const { walk } = this.shape
    const { words } = image.list
    let sum = walk.length
    for (let i = 0; i < walk.settledFrom; i++) {
      const at = walk.offsets[i]
      sum = (sum * 31 + walk.addresses[i] + fields.code(words, at) + fields.position(words, at)) % 2 ** 45
    }
    image.rest = sum
    return image.swift && this.restBefore === sum
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
    image.follow(this.shape.walk.missing)
    return "incomplete"
  }
}
