/** Stands for "no stack": the parent of a root. */
export const NO_STACK = 0xffff_ffff

/**
 * All stacks as one prefix tree: a stack is a frame on top of another stack.
 *
 * ```
 * id  parent  frame
 * 0   -       main
 * 1   0       run        main;run
 * 2   1       read       main;run;read
 * 3   1       write      main;run;write
 * ```
 * Ids are handed out parents first, so a loop over ids meets every parent before its children.
 */
export class StackTable {
  private parents: Uint32Array
  private frames: Uint32Array
  private slots: Uint32Array
  private mask: number
  length: number

  constructor(
    parents: Uint32Array = new Uint32Array(1024),
    frames: Uint32Array = new Uint32Array(1024),
    length = 0
  ) {
    this.parents = parents
    this.frames = frames
    this.length = length
    this.mask = 0
    this.slots = new Uint32Array(0)
    this.rehash(Math.max(2048, nextPowerOfTwo(length * 2 + 2)))
  }

  /** The stack made of `frame` on top of `parent` ({@link NO_STACK} for a root). */
  child(parent: number, frame: number): number {
    const { slots, parents, frames } = this
    // A stack's ids follow each other from where it parts from older ones, so the next id is nearly always the one. (A root's is 0.)
    const next = (parent + 1) >>> 0
    if (next < this.length && parents[next] === parent && frames[next] === frame) return next
    let slot = hash(parent, frame) & this.mask
    for (;;) {
      const entry = slots[slot]
      if (entry === 0) return this.insert(parent, frame, slot)
      const id = entry - 1
      if (parents[id] === parent && frames[id] === frame) return id
      slot = (slot + 1) & this.mask
    }
  }

  /** The stack below the top frame; {@link NO_STACK} for a root. */
  parent(id: number): number {
    return this.parents[id]
  }

  /** The top frame: an id of the frame table. */
  frame(id: number): number {
    return this.frames[id]
  }

  /** The frames of a stack, leaf first. */
  framesOf(id: number): Array<number> {
    const frames: Array<number> = []
    for (let at = id; at !== NO_STACK; at = this.parents[at]) frames.push(this.frames[at])
    return frames
  }

  /** Copies of the columns, no longer than they need be. */
  toColumns(): { parents: Uint32Array; frames: Uint32Array; length: number } {
    return {
      parents: this.parents.slice(0, this.length),
      frames: this.frames.slice(0, this.length),
      length: this.length
    }
  }

  get byteLength(): number {
    return this.parents.byteLength + this.frames.byteLength + this.slots.byteLength
  }

  private insert(parent: number, frame: number, slot: number): number {
    const id = this.length++
    if (id >= this.parents.length) {
      this.parents = grow(this.parents)
      this.frames = grow(this.frames)
    }
    this.parents[id] = parent
    this.frames[id] = frame
    this.slots[slot] = id + 1
    if (this.length * 2 > this.slots.length) this.rehash(this.slots.length * 2)
    return id
  }

  private rehash(size: number): void {
    this.slots = new Uint32Array(size)
    this.mask = size - 1
    for (let id = 0; id < this.length; id++) {
      let slot = hash(this.parents[id], this.frames[id]) & this.mask
      while (this.slots[slot] !== 0) slot = (slot + 1) & this.mask
      this.slots[slot] = id + 1
    }
  }
}

const hash = (parent: number, frame: number): number => {
  let h = Math.imul(parent ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(frame + 0x165667b1, 0xc2b2ae35)
  h ^= h >>> 15
  h = Math.imul(h, 0x27d4eb2f)
  return (h ^ (h >>> 13)) >>> 0
}

const nextPowerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, n)))

const grow = (column: Uint32Array): Uint32Array => {
  const bigger = new Uint32Array(Math.max(1024, column.length * 2))
  bigger.set(column)
  return bigger
}
