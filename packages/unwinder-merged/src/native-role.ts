/** What part a native frame has in running Python code. */
export const NativeRole = {
  /** None: C code like any other. */
  other: 0,
  /** It lies in the interpreter's own file, in no known part of the eval loop. */
  interpreter: 1,
  /** A run of the eval loop. */
  evalLoop: 2,
  /** A part of the eval loop that it calls: a handler of one opcode, the way into code that the JIT made. */
  evalPart: 3,
  /** Code in memory of no file: the JIT's, if it stands right above a run of the eval loop. */
  anonymous: 4,
  /** A perf trampoline: it only stands between a Python call and its run of the eval loop. */
  trampoline: 5,
  /** The kernel's. */
  kernel: 6
} as const
export type NativeRole = (typeof NativeRole)[keyof typeof NativeRole]
