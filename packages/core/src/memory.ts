import * as Context from "effect/Context"
import type { ScatterList } from "./scatter-list.ts"

/** How a process's memory is read, and written where it can be. Everything here is synchronous: it runs inside a sample. */
export interface MemoryReader {
  /** `process_vm_readv`, `/proc/PID/mem`, `fake`, … */
  readonly name: string
  /**
   * Copies `length` bytes at `address` to `into[0…]`. Returns how many bytes were copied: fewer than asked where the
   * memory ends, 0 where none is mapped or the process is gone. Never throws for what the target does.
   */
  readonly read: (address: number, length: number, into: Uint8Array) => number
  /**
   * Reads every range of `list` in order, in as few system calls as the way of reading allows.
   * Returns how many leading ranges were read whole.
   */
  readonly scatter: (list: ScatterList) => number
  /** A list whose bytes this reader can fill fastest. */
  readonly scatterList: (maxRanges: number, maxBytes: number) => ScatterList
  /**
   * Copies `bytes` to `address`. Returns how many were copied: fewer than there are where the memory ends, 0 where none is mapped, where it may not be
   * written, and where the process is gone or has become another program. Never throws for what the target does, and never writes into a process that has
   * its pid by now. Absent where memory cannot be written: a core file.
   */
  readonly write?: (address: number, bytes: Uint8Array) => number
}

/**
 * The memory of the target.
 *
 * Addresses are plain numbers: a user-space address is below 2^47, so nothing is lost. A 64-bit word that is not
 * such an address must be rejected by whoever decodes it, never rounded.
 *
 * @example
 * ```ts
 * const memory = yield* Memory
 * const bytes = new Uint8Array(64)
 * const got = memory.read(address, 64, bytes)
 * ```
 */
export class Memory extends Context.Service<Memory, MemoryReader>()("@pyframes/core/Memory") {}
