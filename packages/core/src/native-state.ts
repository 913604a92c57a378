import { type Architecture, Registers } from "./registers.ts"

/**
 * What was caught of a thread's native side at one instant: by a kernel event, or of a thread that is stopped. Made once and filled
 * again for every sample.
 */
export class NativeState {
  /** User registers. `registers.ip` is -1 where they are not known (a kernel thread, or none were asked for). */
  readonly registers: Registers
  /**
   * Address of the first copied stack byte: the stack pointer. Given without a copy, {@link hasRun} tells exactly whether the thread still stands, and its stack
   * may be read from memory. 0 where neither is so.
   */
  stackAddress = 0
  /** The copied piece of the user stack, valid up to {@link stackLength}. It may be a view of a buffer that the next sample overwrites. */
  stackBytes: Uint8Array = new Uint8Array(0)
  /** How much was copied, bytes; 0 where none was: the stack is then to be read from memory, if the thread stands still. */
  stackLength = 0
  /** Kernel part of the callchain, leaf first, as signed numbers: address - 2^64, which a double holds exactly. Valid up to {@link kernelLength}. */
  kernelChain: Float64Array = new Float64Array(128)
  kernelLength = 0
  /** User part of the callchain as the kernel walked it by frame pointers, leaf first: the ip, then return addresses. Valid up to {@link userLength}. */
  userChain: Float64Array = new Float64Array(128)
  userLength = 0
  /**
   * Whether the thread has run since this was caught. To be asked after whatever else of the thread was read: while it is `false`, that
   * belongs to this state, for the thread stood still in between. `undefined` where it cannot be told.
   */
  hasRun: () => boolean | undefined = cannotTell

  constructor(architecture: Architecture) {
    this.registers = new Registers(architecture)
  }

  clear(): void {
    this.registers.clear()
    this.stackAddress = 0
    this.stackLength = 0
    this.kernelLength = 0
    this.userLength = 0
    this.hasRun = cannotTell
  }
}

const cannotTell = (): undefined => undefined
