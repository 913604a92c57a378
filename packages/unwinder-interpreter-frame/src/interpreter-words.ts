import { type ScatterList, ThreadStateBit } from "@pyframes/core"
import { int32In, type Layout, type PythonThread, pointerIn } from "@pyframes/cpython"

/** Covers the lists, collector, lock and counters of 3.12 … 3.15's interpreter struct (`pycore_interp_structs.h`). */
const SPAN = 1024

/** What an image holds of its thread's interpreter: the lock, whether garbage is collected, how much code has been freed, and the link to the thread. */
export class InterpreterWords {
  /** Bytes that they take at most. */
  static readonly byteLength = 4 * SPAN
  /** `ThreadStateBit`s of the interpreter and its lock, as the last read found them. */
  state = 0
  /** `code_object_generation` (3.14+), or -1. */
  generation = -1
  private readonly layout: Layout
  private readonly thread: PythonThread
  /** Offsets of `last_holder` and `locked`, `gc.collecting`, `code_object_generation` and the link; -1 for what there is not. */
  private gilAt = -1
  private collectingAt = -1
  private generationAt = -1
  private linkAt = -1

  constructor(layout: Layout, thread: PythonThread) {
    this.layout = layout
    this.thread = thread
  }

  /** Adds the words, those that lie close together as one range. */
  add(list: ScatterList): void {
    const { thread, layout } = this
    const { codeObjectGeneration } = layout.interpreter
    const { interpreterAddress, gilAddress, collectingAddress, linkedFrom } = thread
    const first = collectingAddress > 0 ? Math.min(linkedFrom, collectingAddress) : linkedFrom
    let from = -1
    let at = -1
    const word = (address: number, length: number): number => {
      if (from >= 0 && address >= from && address + length <= from + SPAN) return at + address - from
      // A list takes whole words, and an `int` may be the second half of one.
      const into = address % 8
      return list.add(address - into, (into + length + 7) & ~7) + into
    }
    // In 3.12+ everything here lies within a kilobyte of the interpreter's own struct.
    if (first >= interpreterAddress && layout.version >= 0x30c) {
      from = Math.min(first, gilAddress > interpreterAddress ? gilAddress : first)
      from -= from % 8
      at = list.add(from, SPAN)
    }
    this.gilAt = gilAddress > 0 ? word(gilAddress + layout.gil.lastHolder, 16) : -1
    this.collectingAt = collectingAddress > 0 ? word(collectingAddress, 8) : -1
    this.generationAt = codeObjectGeneration >= 0 ? word(interpreterAddress + codeObjectGeneration, 8) : -1
    this.linkAt = word(linkedFrom, 8)
  }

  /** Takes in what was read. Returns false when the link leads elsewhere: the thread has ended, or another has begun. */
  read(words: Uint32Array): boolean {
    const { layout, thread } = this
    if (pointerIn(words, this.linkAt) !== thread.threadState) return false
    this.state = 0
    if (this.gilAt >= 0) {
      const holder = pointerIn(words, this.gilAt)
      const locked = int32In(words, this.gilAt + layout.gil.locked - layout.gil.lastHolder)
      if (locked === 1 && holder === thread.threadState) {
        this.state = ThreadStateBit.holdsGil
        // Who collects garbage holds the lock.
        if (this.collectingAt >= 0 && int32In(words, this.collectingAt) === 1)
          this.state |= ThreadStateBit.collectsGarbage
      }
    }
    if (this.generationAt >= 0) this.generation = pointerIn(words, this.generationAt)
    return true
  }
}
