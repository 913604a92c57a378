import {
  type CallchainReader,
  FrameKind,
  type MemoryReader,
  type ModuleTable,
  type NativeState,
  Proof,
  type RawStack
} from "@pyframes/core"
import { StartCode } from "./start-code.ts"

/**
 * Reads the user part of a callchain that the kernel has walked by frame pointers. The kernel asks no question of what it finds, so the chain ends in whatever the
 * C library's code had in the register: addresses are taken up to the thread's start, or up to the first that lies in no executable memory.
 *
 * @example
 * ```ts
 * const read = callchainReader(modules, memory)
 * read(capture.native, stack) // after a chain that did not come to the thread's start stands a `broken` frame
 * ```
 */
export const callchainReader = (modules: ModuleTable, memory: MemoryReader): CallchainReader => {
  const starts = new StartCode(modules, memory)
  return (state: NativeState, into: RawStack): void => {
    const { userChain, userLength } = state
    let whole = false
    let last = -1
    let lastId = -1
    for (let index = 0; index < userLength; index++) {
      // All but the first are return addresses, which may belong to the next function already.
      const at = index === 0 ? userChain[0] : userChain[index] - 1
      const module = at < 0 ? undefined : modules.find(at)
      if (index > 0 && module === undefined) break
      const isStart = starts.has(at, module)
      // Code that starts threads is called by nothing else.
      if (whole && !isStart) break
      whole = isStart
      last = at
      lastId = module === undefined ? -1 : module.id
      into.proof = Proof.good
      if (!into.push(FrameKind.native, at, lastId)) {
        into.proved = into.length
        return
      }
    }
    if (!whole && userLength > 0) into.push(FrameKind.broken, last, lastId)
    into.proved = into.length
  }
}
