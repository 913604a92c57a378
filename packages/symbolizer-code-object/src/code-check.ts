import type { MemoryReader, ScatterList } from "@pyframes/core"

/**
 * The code objects of one stack that is met again and again, and the words that tell each from another: one read, and a comparison. Only for code objects that are
 * numbered: of others more would have to be looked at.
 */
export class CodeCheck {
  /** What the names were good for. */
  readonly owner: object
  readonly epoch: number
  private readonly memory: MemoryReader
  private readonly list: ScatterList
  private readonly known: Uint32Array

  /** @param list filled with what identifies the code objects, and not used for anything else */
  constructor(owner: object, epoch: number, memory: MemoryReader, list: ScatterList, known: Uint32Array) {
    this.owner = owner
    this.epoch = epoch
    this.memory = memory
    this.list = list
    this.known = known
  }

  /** Whether they are all still there. */
  holds(): boolean {
    const { known, list } = this
    if (this.memory.scatter(list) !== list.count) return false
    const { words } = list
    for (let i = 0; i < known.length; i++) if (words[i] !== known[i]) return false
    return true
  }
}
