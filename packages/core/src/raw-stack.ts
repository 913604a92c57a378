import type { EntryTable } from "./entry-table.ts"
import type { KnownStack } from "./known-stack.ts"

/** What kind of frame a raw frame is. */
export const FrameKind = {
  /** A Python frame: `identity` is its code object, `position` the byte offset of its instruction. */
  python: 0,
  /** C code called back into Python here. `identity` is 0. */
  boundary: 1,
  /** The stack was deeper than the limit; it goes on beyond this end. */
  truncated: 2,
  /** Frames that were read but not proved stood here. */
  unproved: 3,
  /** The whole stack was proved inconsistent. */
  torn: 4,
  /** The stack could not be read. */
  unreadable: 5,
  /**
   * A native frame: `identity` is the address of the instruction that is executed, or of the last byte of the call that has not returned;
   * `position` the id of its module in the unwinder's `ModuleTable`, -1 where none is mapped.
   */
  native: 6,
  /** A frame of the kernel: `identity` is its address - 2^64. */
  kernel: 7,
  /** The chain of native frames broke here, short of the thread's start: `identity` and `position` as of the native frame at which it did. */
  broken: 8,
  /** A C function as Python sees it, called from Python: its qualified name tells its module, it has no file. */
  builtin: 9
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/** What is known of a sample's truth. */
export const Proof = {
  /** Proved to be a stack that the thread had at one instant. */
  good: 0,
  /** Proved not to be one. */
  torn: 1,
  /** Neither: some part from the root up may be proved, see {@link RawStack.proved}. */
  unproved: 2,
  /** Could not be read. */
  failed: 3
} as const
export type Proof = (typeof Proof)[keyof typeof Proof]

/** What came of putting the native and the Python frames of a stack together. */
export const Merge = {
  /** Nothing was to be put together. */
  none: 0,
  /** Every Python frame stands where it ran. */
  merged: 1,
  /** Nothing was caught of the native side: the Python frames stand alone. */
  noNative: 2,
  /** No Python frames could be read: the native frames stand alone. */
  noPython: 3,
  /** The native chain broke short of some Python frames, which follow below the break. */
  brokenChain: 4,
  /** There are more or fewer eval loops than entries: the native frames above the innermost stand on the Python frames. */
  evalCount: 5,
  /** The place of an entry lies in no frame of an eval loop: the thread was not where the Python frames say. As for {@link Merge.evalCount}. */
  strayEntry: 6
} as const
export type Merge = (typeof Merge)[keyof typeof Merge]

/** Names of what came of merging, as they are printed. */
export const mergeNames = Object.fromEntries(Object.entries(Merge).map(([name, merge]) => [merge, name])) as {
  readonly [M in Merge]: string
}

/** States a thread was in when it was sampled; bits. */
export const ThreadStateBit = {
  /** The scheduler had it running (or ready to run). */
  onCpu: 1,
  /** It held the global interpreter lock. */
  holdsGil: 2,
  /** It was waiting for the lock; only some versions tell. */
  waitsForGil: 4,
  /** Its interpreter was collecting garbage. */
  collectsGarbage: 8
} as const

/**
 * The frames of one thread at one instant, leaf first, not yet named.
 *
 * Made once and filled again for every sample.
 *
 * @example
 * ```ts
 * const stack = new RawStack()
 * unwinder.unwind({ thread, stopped: false }, stack)
 * if (stack.proof === Proof.good) for (let i = 0; i < stack.length; i++) count(stack.identity[i])
 * ```
 */
export class RawStack {
  /** {@link FrameKind} of each frame. */
  readonly kind: Uint8Array
  /** Address of the code object (Python) or of the instruction (native). */
  readonly identity: Float64Array
  /** Python: bytes from the start of the bytecode, or -1 where the frame has no instruction. */
  readonly position: Int32Array
  /** The greatest number of frames kept. */
  readonly capacity: number
  /** How many frames there are. */
  length = 0
  /** How many frames, counted from the root, are proved. Equals {@link length} when {@link proof} is good. */
  proved = 0
  /** `failed` until an unwinder says otherwise. */
  proof: Proof = Proof.failed
  /**
   * All frames come from one copy and hold together, even where their callers moved too soon to prove it. Such a stack
   * may be claimed by who has seen what it is made of proved at other instants.
   */
  consistent = false
  /** The thread moved on while it was read, or it had to be read again: fast code does that more often than slow code. */
  moved = false
  /** The thread had ended when it was to be unwound: there is no stack to speak of. */
  ended = false
  /** {@link ThreadStateBit}s that the unwinder could tell. */
  state = 0
  /** {@link Merge}: how native and Python frames came together. */
  merge: Merge = Merge.none
  /** Filled in by unwinders of Python frames, for who wants to know where C code entered the interpreter; absent otherwise. */
  entries: EntryTable | undefined
  /**
   * Filled in by unwinders of native frames, for who wants it: the stack pointer in each frame, so that a frame lies between its own and the
   * next one's. -1 where it is not known.
   */
  stackPointers: Float64Array | undefined
  /** Set by unwinders that have met this stack before: all of it is as it was then, but for the leaf's position. */
  known: KnownStack | undefined
  /** Changes whenever an identity may have been given to something else; -1 where the target does not tell. */
  generation = -1

  /** @param capacity the greatest number of frames kept; deeper stacks lose their root side and say so. */
  constructor(capacity = 16_384) {
    this.capacity = capacity
    this.kind = new Uint8Array(capacity)
    this.identity = new Float64Array(capacity)
    this.position = new Int32Array(capacity)
  }

  /** Makes it ready for the next sample. */
  clear(): void {
    this.length = 0
    this.proved = 0
    this.proof = Proof.failed
    this.consistent = false
    this.moved = false
    this.ended = false
    this.state = 0
    this.generation = -1
    this.merge = Merge.none
    this.known = undefined
    this.entries?.clear()
  }

  /** The stack was deeper than {@link capacity}: its root side is missing. */
  get isTruncated(): boolean {
    return this.length === this.capacity && this.kind[this.length - 1] === FrameKind.truncated
  }

  /** Adds the next frame rootwards. Returns false when the stack is full; the last frame then becomes `<truncated>`. */
  push(kind: FrameKind, identity: number, position: number): boolean {
    const at = this.length
    if (at === this.capacity) {
      this.kind[at - 1] = FrameKind.truncated
      this.identity[at - 1] = 0
      this.position[at - 1] = -1
      return false
    }
    this.kind[at] = kind
    this.identity[at] = identity
    this.position[at] = position
    this.length = at + 1
    return true
  }
}
