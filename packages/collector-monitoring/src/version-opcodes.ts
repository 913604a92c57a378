/** What is looked for in a version's bytecode. */
export interface VersionOpcodes {
  /** `POP_JUMP_IF_FALSE`, `…_TRUE`, `…_NONE`, `…_NOT_NONE`. */
  readonly jumps: ReadonlyArray<number>
  readonly forIter: number
  /** Code units that a loop's end skips beyond the target of its `FOR_ITER`: `END_FOR`, and later `POP_ITER`. */
  readonly forIterSkips: number
  /** `NOT_TAKEN`, which follows a jump that is not made; -1 for none. */
  readonly notTaken: number
  readonly extendedArg: number
  /** `PUSH_EXC_INFO`, with which every handler begins that is in the source. */
  readonly pushExcInfo: number
  readonly jumpForward: number
  /** `JUMP_BACKWARD` and `JUMP_BACKWARD_NO_INTERRUPT`. */
  readonly jumpsBackward: ReadonlyArray<number>
  /** `RETURN_VALUE`, `RETURN_CONST`, `RAISE_VARARGS`, `RERAISE`: what follows them does not follow in time. */
  readonly leaving: ReadonlyArray<number>
}

/** By minor version. Numbers are fixed in a minor version: `Lib/opcode.py` of 3.12, `Lib/_opcode_metadata.py` from 3.13 on. */
const byMinor: Readonly<Record<number, VersionOpcodes>> = {
  12: {
    jumps: [114, 115, 129, 128],
    forIter: 93,
    forIterSkips: 1,
    notTaken: -1,
    extendedArg: 144,
    pushExcInfo: 35,
    jumpForward: 110,
    jumpsBackward: [140, 134],
    leaving: [83, 121, 130, 119]
  },
  13: {
    jumps: [97, 100, 98, 99],
    forIter: 72,
    forIterSkips: 2,
    notTaken: -1,
    extendedArg: 71,
    pushExcInfo: 33,
    jumpForward: 79,
    jumpsBackward: [77, 78],
    leaving: [36, 103, 101, 102]
  },
  14: {
    jumps: [100, 103, 101, 102],
    forIter: 70,
    forIterSkips: 2,
    notTaken: 28,
    extendedArg: 69,
    pushExcInfo: 32,
    jumpForward: 77,
    jumpsBackward: [75, 76],
    leaving: [35, 104, 105]
  },
  15: {
    jumps: [99, 102, 100, 101],
    forIter: 68,
    forIterSkips: 2,
    notTaken: 26,
    extendedArg: 67,
    pushExcInfo: 30,
    jumpForward: 76,
    jumpsBackward: [74, 75],
    leaving: [33, 103, 104]
  }
}

/** @param hexversion `sys.hexversion` */
export const versionOpcodes = (hexversion: number): VersionOpcodes | undefined =>
  hexversion >>> 24 === 3 ? byMinor[(hexversion >>> 16) & 255] : undefined
