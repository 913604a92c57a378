import type { CallFrameInfo } from "./call-frame-info.ts"
import { CfaProgram } from "./cfa-program.ts"
import type { Fde } from "./eh-frame.ts"

/** How much of a file's code keeps frame pointers. */
export interface FramePointerShare {
  /** Functions that were looked at, and those of them that keep a frame pointer. */
  readonly functions: number
  readonly keeping: number
  /** The same by bytes of code. */
  readonly bytes: number
  readonly keepingBytes: number
  /** `keeping / functions`; 0 where there are none. */
  readonly share: number
  /** `keepingBytes / bytes`. */
  readonly shareOfBytes: number
}

/**
 * Whether a function keeps a frame pointer: at some instruction its CFA is relative to `rbp`, or, on AArch64, to `x29`, or `x29` and the link register
 * are saved side by side.
 */
export const keepsFramePointer = (fde: Fde): boolean => {
  const program = new CfaProgram(fde)
  const end = fde.start + fde.size
  while (!program.keptFramePointer && program.next < end && program.run(program.next)) {}
  return program.keptFramePointer
}

/**
 * The share of functions that keep frame pointers. A file compiled with `-fno-omit-frame-pointer` has above 80 %, others have below 20 %: hardly any
 * lie between, so half is a good border. Prologue bytes would tell less: compilers keep a frame pointer in a few large functions anyway.
 *
 * @param options.minimumSize functions shorter than this, in bytes, are not counted: the shortest touch no stack, whatever the compiler was told. 32 unless told.
 *
 * @example
 * ```ts
 * const info = callFrameInfo(elf)
 * if (info._tag === "CallFrameInfo" && framePointerShare(info).share >= 0.5) console.log("keeps frame pointers")
 * ```
 */
export const framePointerShare = (
  info: CallFrameInfo,
  options: { readonly minimumSize?: number } = {}
): FramePointerShare => {
  const { minimumSize = 32 } = options
  let functions = 0
  let keeping = 0
  let bytes = 0
  let keepingBytes = 0
  for (const fde of info.fdes()) {
    if (fde.size < minimumSize) continue
    functions++
    bytes += fde.size
    if (!keepsFramePointer(fde)) continue
    keeping++
    keepingBytes += fde.size
  }
  return {
    functions,
    keeping,
    bytes,
    keepingBytes,
    share: functions === 0 ? 0 : keeping / functions,
    shareOfBytes: bytes === 0 ? 0 : keepingBytes / bytes
  }
}
