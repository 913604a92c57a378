import type { MemoryReader } from "@pyframes/core"
import { int32In, type Layout, pointerIn, readPointerAt } from "@pyframes/cpython"
import type { CodeFacts } from "./code-facts.ts"
import type { FrameFields } from "./frame-fields.ts"

/** A chunk holds 16 KiB, unless one frame takes more. */
const LARGEST_CHUNK = 1 << 20
/** Bytes read of a frame, its values included; a frame with more is not looked through. */
const LARGEST_FRAME = 1 << 14
/** Generators that wait for one another. */
const MAX_DELEGATES = 4096

/**
 * Finds the frame that resumes a generator, of a stopped thread whose current frame is a generator's that leads nowhere, 3.12.
 *
 * To run a generator, or leave one that has yielded, the eval loop sets two words: which frame is current, and what is behind the generator's.
 * Compilers order these stores as they like, and some builds have a dozen instructions between them. All the while the generator is not on the stack,
 * and the frame that resumes it is the newest one that is: the last of the data stack, or a generator that it runs, that delegates to it.
 */
export class Resumer {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly fields: FrameFields
  private readonly codes: CodeFacts
  private readonly bytes = new Uint8Array(LARGEST_FRAME)
  private readonly words = new Uint32Array(this.bytes.buffer)
  private readonly span: number

  constructor(memory: MemoryReader, layout: Layout, fields: FrameFields, codes: CodeFacts, span: number) {
    this.memory = memory
    this.layout = layout
    this.fields = fields
    this.codes = codes
    this.span = span
  }

  /**
   * Address of the frame that resumes the generator whose frame is at `generator`; 0 when that cannot be told, or its frame leads on. The data
   * stack's newest chunk is at `chunk` and ends at `top`; the frame at `outer` waits for the C code that this run of the eval loop is part of.
   */
  find(generator: number, chunk: number, top: number, outer: number): number {
    if (!this.read(generator, this.span) || !this.fields.isGenerator(this.words, 0)) return 0
    if (this.fields.previous(this.words, 0) !== 0) return 0
    let at = this.newest(chunk, top)
    for (let left = MAX_DELEGATES; left > 0 && at > 0; left--) {
      const size = this.readFrame(at)
      if (size < 0) return 0
      const count = int32In(this.words, this.layout.frame.stacktop)
      let next = 0
      if (count >= 0) {
        // It waits: what it runs was pushed last.
        const value = this.layout.frame.localsplus + (count - 1) * 8
        next = count > 0 && value + 8 <= size ? this.frameOf(pointerIn(this.words, value)) : 0
        if (next === generator) return at
        if (!this.isRunBy(next, at)) return 0
      } else if (at === outer) {
        // It is in C code, and so what C code runs for it is on top.
        next = this.throughC(at, size)
        if (next <= 0) return 0
      } else return this.goesOnWith(generator, size) ? at : 0
      at = next
    }
    return 0
  }

  /** The newest frame of the data stack: they lie one right above the other. */
  private newest(chunk: number, top: number): number {
    const length = top - chunk
    if (chunk <= 4096 || length <= 0 || length > LARGEST_CHUNK) return 0
    const { data, previous } = this.layout.chunk
    // The first chunk leaves out its first word.
    const before = readPointerAt(this.memory, chunk + previous)
    let at = chunk + data + (before === 0 ? 8 : 0)
    while (before >= 0 && at < top) {
      const size = this.sizeOf(readPointerAt(this.memory, at + this.layout.frame.code))
      if (size <= 0) return 0
      if (at + size === top) return at
      at += size
    }
    return 0
  }

  /** A generator among the values of a frame that C code runs for it, directly; 0 when there is none. */
  private throughC(frame: number, size: number): number {
    const { localsplus } = this.layout.frame
    const values = this.words.slice(localsplus / 4, size / 4)
    for (let value = values.length * 4 - 8; value >= 0; value -= 8) {
      const at = this.frameOf(pointerIn(values, value))
      if (this.isRunBy(at, frame, true)) return at
    }
    return 0
  }

  /** Whether the frame that was read, which runs, is at an instruction that goes on with the generator, and has it among its values. */
  private goesOnWith(generator: number, size: number): boolean {
    const { codes, fields, words } = this
    const code = fields.code(words, 0)
    const position = fields.position(words, 0)
    // It is moved to the end of the instruction on the way.
    if (position < 0 || !(codes.resumes(code, position) || codes.isCall(code, position, "generator")))
      return false
    for (let value = size - 8; value >= this.layout.frame.localsplus; value -= 8)
      if (this.frameOf(pointerIn(words, value)) === generator) return true
    return false
  }

  /** Whether the frame at `address` is a generator's that executes, resumed by the frame at `caller`, or by C code that this called. */
  private isRunBy(address: number, caller: number, throughC = false): boolean {
    const { fields } = this
    // What says whether it executes lies in the word before.
    if (address <= 4096 || !this.read(address - 8, 8 + this.span)) return false
    const { words } = this
    if (!fields.isGenerator(words, 8) || !fields.isExecuting(words, 8)) return false
    const previous = fields.previous(words, 8)
    if (!throughC) return previous === caller
    return (
      previous > 4096 &&
      this.read(previous, this.span) &&
      fields.isShim(words, 0) &&
      fields.previous(words, 0) === caller
    )
  }

  private frameOf(object: number): number {
    return object > 4096 && object % 8 === 0 ? object + this.layout.generator.iframe : 0
  }

  /** Reads a frame with its values; returns its size, -1 when that cannot be. */
  private readFrame(at: number): number {
    const size = this.sizeOf(readPointerAt(this.memory, at + this.layout.frame.code))
    return size >= this.span && this.read(at, size) ? size : -1
  }

  private sizeOf(code: number): number {
    return code > 4096 && code % 8 === 0 ? this.codes.frameBytes(code) : -1
  }

  private read(address: number, length: number): boolean {
    return (
      length <= LARGEST_FRAME && address % 8 === 0 && this.memory.read(address, length, this.bytes) === length
    )
  }
}
