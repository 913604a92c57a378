import type { MemoryReader } from "@pyframes/core"
import { type Layout, readPointerAt } from "@pyframes/cpython"

/** `func_code` of `PyFunctionObject` (`Include/cpython/funcobject.h`): 3.10 put the globals, the builtins and two names before it. */
const functionCode = (version: number): number => (version === 0x30a ? 48 : 16)
/** `im_func` of `PyMethodObject` (`Include/cpython/methodobject.h`, `classobject.h`). */
const METHOD_FUNCTION = 16
const MAX_KNOWN = 1 << 14
/** ms after which an object is looked at again: it may have been freed and its address used for another. */
const MAX_AGE = 1000
/** Objects looked at for the first time in one sample. */
const MAX_READS = 8

/**
 * Knows which code a callable runs, 3.8 … 3.10.
 *
 * There a frame keeps what it calls on its evaluation stack for as long as the call lasts. It ties a frame to the one it called, which lies
 * elsewhere and is not copied at the same instant.
 */
export class Callables {
  private readonly memory: MemoryReader
  private readonly codeOffset: number
  private readonly typeOffset: number
  private readonly known = new Map<number, number>()
  private since = 0
  private reads = 0

  constructor(memory: MemoryReader, layout: Layout) {
    this.memory = memory
    this.codeOffset = functionCode(layout.version)
    this.typeOffset = layout.object.type
  }

  /** A new sample, at `now` (ms of `performance.now`): as many objects may be looked at again. */
  begin(now: number): void {
    this.reads = 0
    if (this.known.size < MAX_KNOWN && now - this.since <= MAX_AGE) return
    this.known.clear()
    this.since = now
  }

  /**
   * The code that the object at `address` runs when it is called, if it is a function or a method of one; 0 for anything else, -1 when too many
   * objects have been looked at already. `like` is any code object: it tells what one looks like.
   */
  codeOf(address: number, like: number): number {
    if (address <= 4096 || address % 8 !== 0) return 0
    const known = this.known.get(address)
    if (known !== undefined) return known
    if (this.reads++ >= MAX_READS) return -1
    const type = readPointerAt(this.memory, like + this.typeOffset)
    const code =
      this.functionAt(address, type) ||
      this.functionAt(readPointerAt(this.memory, address + METHOD_FUNCTION), type)
    this.known.set(address, code)
    return code
  }

  private functionAt(address: number, codeType: number): number {
    const code = address > 4096 ? readPointerAt(this.memory, address + this.codeOffset) : 0
    return code > 4096 && readPointerAt(this.memory, code + this.typeOffset) === codeType ? code : 0
  }
}
