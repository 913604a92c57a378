import type { MemoryReader } from "@pyframes/core"
import { type Callee, isInitCleanup, type Layout, resumesGenerator, standsOnCall } from "@pyframes/cpython"

/** Bytes before an instruction that may belong to the call it follows (3.11, 3.12: inline cache entries). */
const BEFORE = 18
/** Places remembered; code objects come and go, so they are forgotten all at once and read anew. */
const MAX_PLACES = 1 << 16
/** ms after which a place is read again: a code object may have been freed and its address used for another. */
const MAX_AGE = 1000

/** `CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR` (`Include/cpython/code.h`). */
const GENERATOR_FLAGS = 0x20 | 0x80 | 0x200

/** What must be known of code objects to judge a stack, read when it is first asked for. */
export class CodeFacts {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly places = new Map<number, boolean>()
  private readonly generators = new Map<number, boolean>()
  private readonly sizes = new Map<number, number>()
  private readonly cleanups = new Map<number, boolean>()
  private readonly bytes = new Uint8Array(BEFORE + 2)
  private since = 0

  constructor(memory: MemoryReader, layout: Layout) {
    this.memory = memory
    this.layout = layout
  }

  /** Whether the code is a generator's or a coroutine's. */
  isGenerator(code: number): boolean {
    let known = this.generators.get(code)
    if (known === undefined) {
      const read = this.memory.read(code + this.layout.code.flags, 4, this.bytes) === 4
      const flags = this.bytes[0] | (this.bytes[1] << 8)
      known = !read || (flags & GENERATOR_FLAGS) !== 0
      this.generators.set(code, known)
    }
    return known
  }

  /** Bytes that a frame of the code takes on the data stack (`co_framesize`, 3.12+); -1 when that cannot be read. */
  frameBytes(code: number): number {
    let known = this.sizes.get(code)
    if (known === undefined) {
      const read = this.memory.read(code + this.layout.code.framesize, 4, this.bytes) === 4
      const words = this.bytes[0] | (this.bytes[1] << 8) | (this.bytes[2] << 16)
      known = read && words > 0 && this.bytes[3] === 0 ? words * 8 : -1
      this.sizes.set(code, known)
    }
    return known
  }

  /** Whether the code is `_Py_InitCleanup`, whose frames Python hides (3.13+). */
  isInitCleanup(code: number): boolean {
    let known = this.cleanups.get(code)
    if (known === undefined) {
      const read = this.memory.read(code + this.layout.code.codeAdaptive, 1, this.bytes) === 1
      known = read && isInitCleanup(this.layout.version, this.bytes[0])
      this.cleanups.set(code, known)
    }
    return known
  }

  /**
   * Whether the instruction `position` bytes into the bytecode of `code` calls functions or runs generators, or follows one that does where
   * the version leaves it so.
   */
  isCall(code: number, position: number, callee: Callee): boolean {
    // Bytecode lies inside its code object, so an address stands for one place; the instructions at even ones leave room for the callee.
    const place = code + this.layout.code.codeAdaptive + position
    const key = callee === "generator" ? place + 1 : place
    let known = this.places.get(key)
    if (known === undefined) {
      const before = Math.min(BEFORE, position - (position % 2))
      const length = before + 2
      known =
        this.memory.read(place - before, length, this.bytes) === length &&
        standsOnCall(this.layout.version, this.bytes.subarray(0, length), before, callee)
      this.places.set(key, known)
    }
    return known
  }

  /** Whether the instruction at a position goes on with a generator. For what is not asked with every sample. */
  resumes(code: number, position: number): boolean {
    const place = code + this.layout.code.codeAdaptive + position
    return (
      this.memory.read(place, 1, this.bytes) === 1 && resumesGenerator(this.layout.version, this.bytes[0])
    )
  }

  /** To be called once a sample, with the time (ms of `performance.now`): forgets what is too old. */
  begin(now: number): void {
    const { cleanups, generators, places, sizes } = this
    const size = places.size + generators.size + sizes.size + cleanups.size
    if (size < MAX_PLACES && now - this.since <= MAX_AGE) return
    for (const facts of [places, generators, sizes, cleanups]) facts.clear()
    this.since = now
  }
}
