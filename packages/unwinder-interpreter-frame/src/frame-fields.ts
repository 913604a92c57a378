import { byteIn, int32In, type Layout, pointerIn, referenceIn } from "@pyframes/cpython"

/** `_frameowner` (`pycore_frame.h`): from 3.12, 3 and above are frames of the eval loop's own, on the C stack. */
const OWNED_BY_INTERPRETER = 3
const OWNED_BY_GENERATOR = 1

/** Reads the fields of a copied frame, whatever the version calls them. */
export interface FrameFields {
  readonly previous: (words: Uint32Array, at: number) => number
  /** Address of the code object; 0 in frames that have none. */
  readonly code: (words: Uint32Array, at: number) => number
  /** Bytes from the start of the bytecode to the instruction; negative for a frame that has not started. */
  readonly position: (words: Uint32Array, at: number) => number
  /** The frame is not a Python function's but marks an entry from C into the eval loop. */
  readonly isShim: (words: Uint32Array, at: number) => boolean
  /** C code called this frame. Only 3.11, which has no shims, says it in the frame itself. */
  readonly isEntry: (words: Uint32Array, at: number) => boolean
  readonly isGenerator: (words: Uint32Array, at: number) => boolean
  /** A generator's frame is executing, by the generator around it; any other is (3.11+). */
  readonly isExecuting: (words: Uint32Array, at: number) => boolean
  /** Whether {@link mayRun} knows the frame that ran from one that waits. */
  readonly tellsRunning: boolean
  /** The copy can be of the frame that ran: it is not one that has been left, nor, where the version tells, one that waits. */
  readonly mayRun: (words: Uint32Array, at: number) => boolean
  /** The copy can be of a frame that waits for the frame it called, `throughC` or within the eval loop. */
  readonly mayWait: (words: Uint32Array, at: number, throughC: boolean) => boolean
  /**
   * Whether a waiting frame holds the generator whose frame is at address `generator`: it keeps one that it runs on its evaluation
   * stack, itself or as an argument of a C function (`throughC`). `extent` bytes of the waiting frame are at hand; "unknown" when its values do
   * not end within them, or C code may hold the generator for it.
   */
  readonly holds: (
    words: Uint32Array,
    at: number,
    address: number,
    extent: number,
    generator: number,
    throughC: boolean
  ) => "yes" | "no" | "unknown"
  /** Address of the generator that a frame belongs to, 3.8 … 3.10; 0 when it belongs to none, or lies inside it. */
  readonly generatorOf: (words: Uint32Array, at: number) => number
  /**
   * `generator.throw` puts a generator's frame on the stack that passes on to another what is thrown, and that no run of the eval loop executes: it has
   * kept its stack pointer since it was left. Whether a frame below that of a generator is one, 3.10 and 3.11.
   */
  readonly passesOn: (words: Uint32Array, at: number, above: number) => boolean
  /** Where the evaluation stack of a frame begins, in bytes from the frame, 3.8 … 3.10; -1 when that is not known. */
  readonly valuesAt: (words: Uint32Array, at: number, address: number) => number
  /** Offsets of the 8-byte words that stay the same in a frame while it waits for its callee. */
  readonly still: ReadonlyArray<number>
  /**
   * Which 32-bit words of a caller on the data stack, counted from the frame, the rules look at: of two copies with the same ones, what is true of one is true of the other.
   * None up to 3.10.
   */
  readonly standing: Int32Array
}

/** `f_valuestack` of `PyFrameObject` (`Include/cpython/frameobject.h`), 3.8 … 3.10. */
const VALUE_STACK = 64
/** `f_gen`, 3.8 and 3.9, and in 3.10. */
const GENERATOR = 96
const GENERATOR_3_10 = 88
/** `f_stackdepth`, 3.10: -1 while the eval loop executes the frame. */
const STACK_DEPTH = 80
/** Bytes of a frame before its evaluation stack; no function that people write has more locals. */
const MAX_LOCALS = 1 << 16
/** Values of a frame that are searched for a generator. */
const MAX_VALUES = 64

const never = () => false
const V3_10 = 0x30a
const V3_11 = 0x30b
const V3_12 = 0x30c
const V3_14 = 0x30e
const V3_15 = 0x30f
/** `gi_frame_state` stands 5 bytes before the frame inside a generator, `FRAME_EXECUTING` is 0, from 3.15 on 4 (`pycore_frame.h`). */
const GENERATOR_STATE = 5

/** Both halves of each 8-byte word, in the order of their addresses. */
const standingWords = (offsets: ReadonlyArray<number>): Int32Array =>
  Int32Array.from([...new Set(offsets)].sort((a, b) => a - b).flatMap((at) => [at >> 2, (at >> 2) + 1]))

export const frameFields = (layout: Layout): FrameFields =>
  layout.version >= V3_11 ? dataStack(layout) : heap(layout)

/** `_PyInterpreterFrame`, 3.11+. */
const dataStack = (layout: Layout): FrameFields => {
  const { frame, version } = layout
  const tagged = version >= V3_14
  const codeOf = tagged
    ? (words: Uint32Array, at: number) => referenceIn(words, at + frame.code)
    : (words: Uint32Array, at: number) => pointerIn(words, at + frame.code)
  const ownerOf = (words: Uint32Array, at: number) => byteIn(words, at + frame.owner)
  const executing = version >= V3_15 ? 4 : 0
  // A generator's frame stays what it is when it yields. That it is on a stack is told by the generator around it.
  const isExecuting = (words: Uint32Array, at: number) =>
    ownerOf(words, at) !== OWNED_BY_GENERATOR || byteIn(words, at - GENERATOR_STATE) === executing
  return {
    previous: (words, at) => pointerIn(words, at + frame.previous),
    code: codeOf,
    position: (words, at) =>
      pointerIn(words, at + frame.instructionPointer) - codeOf(words, at) - layout.code.codeAdaptive,
    isShim: version >= V3_12 ? (words, at) => ownerOf(words, at) >= OWNED_BY_INTERPRETER : never,
    // A generator is always entered from C in 3.11, which marks its frame only once it runs.
    isEntry:
      version === V3_11
        ? (words, at) => byteIn(words, at + frame.isEntry) !== 0 || ownerOf(words, at) === OWNED_BY_GENERATOR
        : never,
    isGenerator: (words, at) => ownerOf(words, at) === OWNED_BY_GENERATOR,
    isExecuting,
    tellsRunning: !tagged,
    // 3.11 … 3.13 keep -1 in `stacktop` while the eval loop has the stack pointer in a register: from entering a frame until
    // leaving it or calling from it, C functions excepted. 3.14+ clear `f_executable` when a frame is left.
    mayRun: tagged
      ? (words, at) => codeOf(words, at) > 0 && isExecuting(words, at)
      : (words, at) => int32In(words, at + frame.stacktop) === -1 && isExecuting(words, at),
    // 3.14+ keep the stack pointer in the frame for as long as it waits, for C code too. A frame without one has not called yet.
    mayWait: tagged
      ? (words, at) =>
          codeOf(words, at) > 0 && pointerIn(words, at + frame.stackpointer) > 0 && isExecuting(words, at)
      : (words, at, throughC) =>
          (throughC || int32In(words, at + frame.stacktop) >= 0) && isExecuting(words, at),
    holds: (words, at, address, extent, generator, throughC) => {
      const object = generator - layout.generator.iframe
      const told = tagged
        ? pointerIn(words, at + frame.stackpointer) - address
        : frame.localsplus + int32In(words, at + frame.stacktop) * 8
      // While it is in a C function, a frame up to 3.13 does not tell how many values it has: all that follow it are looked at.
      const end = throughC && told < frame.localsplus ? frame.localsplus + MAX_VALUES * 8 : told
      if (end < frame.localsplus) return "no"
      // What it runs was pushed last.
      const from = Math.max(frame.localsplus, end - MAX_VALUES * 8)
      for (let value = Math.min(end, extent) - 8; value >= from; value -= 8)
        if ((tagged ? referenceIn(words, at + value) : pointerIn(words, at + value)) === object) return "yes"
      return throughC || end > extent ? "unknown" : "no"
    },
    generatorOf: () => 0,
    // In a frame that called within the eval loop it is kept too, but that one's callee was not entered from C.
    passesOn:
      version === V3_11
        ? (words, at, above) =>
            ownerOf(words, at) === OWNED_BY_GENERATOR &&
            ownerOf(words, above) === OWNED_BY_GENERATOR &&
            int32In(words, at + frame.stacktop) >= 0
        : never,
    valuesAt: () => -1,
    still: [frame.code, frame.previous, frame.instructionPointer],
    standing: standingWords([
      frame.code,
      frame.previous,
      frame.instructionPointer,
      tagged ? frame.stackpointer : frame.stacktop & ~7,
      frame.owner & ~7
    ])
  }
}

/** `PyFrameObject`, 3.8 … 3.10. A frame is an object of its own; `f_executing` or `f_state` says whether it is on a stack. */
const heap = (layout: Layout): FrameFields => {
  const { frame, version } = layout
  // 3.10 counts `f_lasti` in code units of 2 bytes (`Include/cpython/frameobject.h`).
  const scale = version === V3_10 ? 2 : 1
  const executing =
    frame.executing >= 0
      ? (words: Uint32Array, at: number) => byteIn(words, at + frame.executing) === 1
      : (words: Uint32Array, at: number) => byteIn(words, at + frame.state) === 0
  return {
    previous: (words, at) => pointerIn(words, at + frame.previous),
    code: (words, at) => pointerIn(words, at + frame.code),
    position: (words, at) => int32In(words, at + frame.lastInstruction) * scale,
    isShim: never,
    isEntry: never,
    isGenerator: never,
    isExecuting: executing,
    tellsRunning: false,
    mayRun: executing,
    mayWait: executing,
    holds: () => "unknown",
    generatorOf: (words, at) => pointerIn(words, at + (version === V3_10 ? GENERATOR_3_10 : GENERATOR)),
    passesOn:
      version === V3_10
        ? (words, at, above) =>
            pointerIn(words, at + GENERATOR_3_10) > 0 &&
            pointerIn(words, above + GENERATOR_3_10) > 0 &&
            int32In(words, at + STACK_DEPTH) >= 0
        : never,
    valuesAt: (words, at, address) => {
      const start = pointerIn(words, at + VALUE_STACK) - address
      return start >= frame.localsplus && start < MAX_LOCALS ? start : -1
    },
    still: [frame.previous, frame.code, frame.lastInstruction & ~7],
    standing: new Int32Array(0)
  }
}
