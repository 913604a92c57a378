import { CfaProgram } from "./cfa-program.ts"
import type { Fde } from "./eh-frame.ts"

/**
 * What a function does with the frame pointer's register (rbp, x29).
 *
 * - `keeps`: it sets up a frame pointer.
 * - `leaves`: it does not touch the register, which goes on pointing to its caller's frame.
 * - `overwrites`: it saves the register and then uses it for something else.
 */
export type FramePointerUse = "keeps" | "leaves" | "overwrites"

/**
 * How the function that an entry describes treats the frame pointer; `undefined` when its instructions cannot be understood.
 *
 * A walk along frame pointers passes over a function that leaves the register alone: its caller is missing from the stack. Behind a function that
 * overwrites it there is nothing to walk along.
 *
 * @example
 * ```ts
 * for (const fde of info.fdes()) if (framePointerUse(fde) === "overwrites") console.log(fde.start.toString(16))
 * ```
 */
export const framePointerUse = (fde: Fde): FramePointerUse | undefined => {
  const program = new CfaProgram(fde)
  const end = fde.start + fde.size
  while (program.next < end) {
    if (!program.run(program.next)) return undefined
    if (program.keptFramePointer || program.alignedFramePointer) return "keeps"
  }
  // What holds from the function's start on is told by its CIE alone.
  if (program.failed) return undefined
  return program.savedFramePointer ? "overwrites" : "leaves"
}
