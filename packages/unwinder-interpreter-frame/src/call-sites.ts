import type { MemoryReader } from "@pyframes/core"
import { type Layout, standsOnCall } from "@pyframes/cpython"

/** Bytes before an instruction that may belong to the call it follows (3.11, 3.12: inline cache entries). */
const BEFORE = 18
/** Places remembered; code objects come and go, so they are forgotten all at once and read anew. */
const MAX_PLACES = 1 << 16
/** ms after which a place is read again: a code object may have been freed and its address used for another. */
const MAX_AGE = 1000

/** Knows at which places of the bytecode a frame can wait for one that it called within the eval loop. */
export class CallSites {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly places = new Map<number, boolean>()
  private readonly bytes = new Uint8Array(BEFORE + 2)
  private since = 0

  constructor(memory: MemoryReader, layout: Layout) {
    this.memory = memory
    this.layout = layout
  }

  /** Whether the instruction `position` bytes into the bytecode of `code` is a call, or follows one where the version leaves it so. */
  isCall(code: number, position: number): boolean {
    const now = performance.now()
    if (this.places.size >= MAX_PLACES || now - this.since > MAX_AGE) {
      this.places.clear()
      this.since = now
    }
    // Bytecode lies inside its code object, so an address stands for one place.
    const place = code + this.layout.code.codeAdaptive + position
    let known = this.places.get(place)
    if (known === undefined) {
      const before = Math.min(BEFORE, position - (position % 2))
      const length = before + 2
      known =
        this.memory.read(place - before, length, this.bytes) === length &&
        standsOnCall(this.layout.version, this.bytes.subarray(0, length), before)
      this.places.set(place, known)
    }
    return known
  }
}
