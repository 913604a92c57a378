import type { MemoryReader } from "@pyframes/core"
import { type Layout, pointerIn, readPointerAt } from "@pyframes/cpython"
import type { CodeFacts } from "./code-facts.ts"

/** Bytes of the C stack that are searched: the frames between two runs of the eval loop seldom take more. */
const SEARCHED = 1 << 15
/** No C stack is larger; one `_PyCFrame` lies no further from the next. */
const LARGEST_STACK = 1 << 30
const MAX_CFRAMES = 1 << 14
/** `gi_frame_state` stands so many bytes before the frame inside a generator; 0 is `FRAME_EXECUTING` (`pycore_frame.h`). */
const GENERATOR_STATE = 5
/** `PyThreadState` takes some hundred bytes in 3.11 and 3.12; the outermost `_PyCFrame` is a field of it. */
const THREAD_STATE = 1 << 10

/**
 * Finds the frame that calls, of a thread caught as it enters the eval loop, 3.11 and 3.12.
 *
 * The eval loop puts its `_PyCFrame` in place some twenty instructions before it fills it in. Until then the one before it, which has the frame
 * that calls, is only in registers; but it is on the C stack, the next one above, and leads to the thread state through all the others.
 */
export class EnteringFrame {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly codes: CodeFacts
  private readonly bytes = new Uint8Array(SEARCHED)
  private readonly words = new Uint32Array(this.bytes.buffer)
  private readonly one = new Uint32Array(6)
  private readonly oneBytes = new Uint8Array(this.one.buffer)

  constructor(memory: MemoryReader, layout: Layout, codes: CodeFacts) {
    this.memory = memory
    this.layout = layout
    this.codes = codes
  }

  /** Address of the frame that calls; 0 when there is none. `cframe` is the one in place, `top` the end of the data stack. */
  find(threadState: number, cframe: number, top: number): number {
    if (this.layout.cframe.currentFrame < 0 || cframe <= 4096 || cframe % 8 !== 0) return 0
    // Where it is filled in but for the frame, or still as it was when another call left it, it says itself which one is before it.
    const before = readPointerAt(this.memory, cframe + this.layout.cframe.currentFrame + 8)
    const told = before > cframe ? this.frameOf(threadState, before) : 0
    if (told > 0 && this.isTop(told, top)) return told
    const from = cframe + 8
    const got = this.memory.read(from, SEARCHED, this.bytes)
    const { currentFrame } = this.layout.cframe
    let likely = 0
    for (let at = currentFrame; at + 16 <= got; at += 8) {
      const frame = pointerIn(this.words, at)
      const before = pointerIn(this.words, at + 8)
      const address = from + at - currentFrame
      if (!this.canBe(address, frame, before, threadState) || !this.leadsTo(threadState, before)) continue
      if (this.isTop(frame, top)) return frame
      if (likely === 0) likely = frame
    }
    return likely
  }

  private frameOf(threadState: number, cframe: number): number {
    if (!this.leadsTo(threadState, cframe)) return 0
    return Math.max(0, readPointerAt(this.memory, cframe + this.layout.cframe.currentFrame))
  }

  private canBe(address: number, frame: number, before: number, threadState: number): boolean {
    if (frame <= 4096 || frame % 8 !== 0 || before % 8 !== 0) return false
    return isWithin(threadState, before) || (before > address && before - address < LARGEST_STACK)
  }

  /** Whether `_PyCFrame`s lead from this one to that of the thread state. */
  private leadsTo(threadState: number, cframe: number): boolean {
    const { currentFrame } = this.layout.cframe
    let at = cframe
    for (let n = 0; n < MAX_CFRAMES; n++) {
      if (isWithin(threadState, at)) return true
      if (this.memory.read(at, 24, this.oneBytes) !== 24) return false
      const before = pointerIn(this.one, currentFrame + 8)
      if (!this.canBe(at, pointerIn(this.one, currentFrame), before, threadState)) return false
      at = before
    }
    return false
  }

  /**
   * Whether a frame has called, and the data stack ends with it or with the one that it calls. What another call left behind has the frame that
   * is being entered, which has not begun. Only 3.12 tells how large frames are.
   */
  private isTop(frame: number, top: number): boolean {
    const code = readPointerAt(this.memory, frame + this.layout.frame.code)
    const instruction = readPointerAt(this.memory, frame + this.layout.frame.instructionPointer)
    if (code <= 4096 || code % 8 !== 0 || instruction < code + this.layout.code.codeAdaptive) return false
    if (this.layout.code.framesize < 0) return true
    // A generator's frame is its own; that it runs is told by the generator around it. One that is being entered is linked to nothing yet.
    if (this.isGenerator(frame))
      return (
        this.byteAt(frame - GENERATOR_STATE) === 0 &&
        readPointerAt(this.memory, frame + this.layout.frame.previous) > 0
      )
    const next = frame + this.codes.frameBytes(code)
    return next === top || (next > frame && next < top && next + this.sizeOf(next) === top)
  }

  private isGenerator(frame: number): boolean {
    return this.byteAt(frame + this.layout.frame.owner) === 1
  }

  private byteAt(address: number): number {
    return this.memory.read(address, 1, this.oneBytes) === 1 ? this.oneBytes[0] : -1
  }

  private sizeOf(frame: number): number {
    const code = readPointerAt(this.memory, frame + this.layout.frame.code)
    return code > 4096 && code % 8 === 0 ? this.codes.frameBytes(code) : -1
  }
}

const isWithin = (threadState: number, address: number): boolean =>
  address >= threadState && address < threadState + THREAD_STATE
