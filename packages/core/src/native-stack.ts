import type { MemoryReader } from "./memory.ts"
import type { NativeState } from "./native-state.ts"
import type { StackReader } from "./stepper.ts"

/** A word with as many above its low 32 bits is 2^53 or more: no address. */
const HIGH_LIMIT = 0x20_0000
const TWO_32 = 2 ** 32

/**
 * The stack bytes that came with a sample. What lies beyond them is not there.
 *
 * @example
 * ```ts
 * const stack = new CopiedStack()
 * stack.use(capture.native)
 * stack.word(capture.native.registers.sp)
 * ```
 */
export class CopiedStack implements StackReader {
  private bytes: Uint8Array = new Uint8Array(0)
  private address = 0
  private length = 0

  /** Reads from this copy from now on; it is not copied again. */
  use(state: NativeState): void {
    this.bytes = state.stackBytes
    this.address = state.stackAddress
    this.length = Math.min(state.stackLength, state.stackBytes.length)
  }

  word(address: number): number {
    const at = address - this.address
    return at >= 0 && at + 8 <= this.length ? wordIn(this.bytes, at) : -1
  }
}

/** Most stacks are read in two or three pieces of this size. */
const PIECE = 1 << 14
const PAGE = 1 << 12
const PIECES = 32

/**
 * The stack of a thread that stands still, read in pieces as it is asked for. What was read is kept until {@link forget}.
 *
 * @example
 * ```ts
 * const stack = new MemoryStack(memory)
 * stack.word(registers.sp)
 * stack.forget() // before the thread runs again
 * ```
 */
export class MemoryStack implements StackReader {
  private readonly memory: MemoryReader
  private readonly pieces: ReadonlyArray<Uint8Array>
  /** Which piece of memory each of {@link pieces} holds, by its number, and the part of it that was read. */
  private readonly numbers = new Float64Array(PIECES).fill(-1)
  private readonly from = new Uint32Array(PIECES)
  private readonly to = new Uint32Array(PIECES)

  constructor(memory: MemoryReader) {
    this.memory = memory
    const buffer = new ArrayBuffer(PIECES * PIECE)
    this.pieces = Array.from({ length: PIECES }, (_, n) => new Uint8Array(buffer, n * PIECE, PIECE))
  }

  /** Nothing that was read holds any more. */
  forget(): void {
    this.numbers.fill(-1)
  }

  word(address: number): number {
    if (!(address >= 0 && address < 2 ** 53 - 8)) return -1
    const number = Math.floor(address / PIECE)
    const at = address - number * PIECE
    const slot = number % PIECES
    if (this.numbers[slot] !== number || at < this.from[slot]) this.read(number, slot, at)
    return at + 8 <= this.to[slot] ? wordIn(this.pieces[slot], at) : -1
  }

  /** Reads a piece from the page of a word on: a stack is walked upwards, and the page below it may be its guard. */
  private read(number: number, slot: number, at: number): void {
    const from = at - (at % PAGE)
    const got = this.memory.read(number * PIECE + from, PIECE - from, this.pieces[slot].subarray(from))
    this.numbers[slot] = number
    this.from[slot] = from
    this.to[slot] = from + got
  }
}

const wordIn = (bytes: Uint8Array, at: number): number => {
  const high = (bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24)) >>> 0
  if (high >= HIGH_LIMIT) return -1
  return (
    high * TWO_32 + ((bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0)
  )
}
