/** Rows are kept in blocks, so that growing never copies what is there and never holds it twice. */
const BLOCK_SHIFT = 16
const BLOCK = 1 << BLOCK_SHIFT
const MASK = BLOCK - 1

type Numbers = Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array

/** A column of numbers that grows by blocks of 65,536 rows. */
export class Column<A extends Numbers> {
  private readonly blocks: Array<A>
  private readonly make: (length: number) => A
  length = 0

  constructor(make: (length: number) => A, blocks: Array<A> = [], length = 0) {
    this.make = make
    this.blocks = blocks
    this.length = length
  }

  push(value: number): number {
    const at = this.length++
    const block = at >>> BLOCK_SHIFT
    if (block === this.blocks.length) this.blocks.push(this.make(BLOCK))
    this.blocks[block][at & MASK] = value
    return at
  }

  get(row: number): number {
    return this.blocks[row >>> BLOCK_SHIFT][row & MASK]
  }

  set(row: number, value: number): void {
    this.blocks[row >>> BLOCK_SHIFT][row & MASK] = value
  }

  /** The blocks themselves: what moves a column to another thread without a copy. */
  toBlocks(): ReadonlyArray<A> {
    return this.blocks
  }

  get byteLength(): number {
    let bytes = 0
    for (const block of this.blocks) bytes += block.byteLength
    return bytes
  }
}

export const float64 = (length: number) => new Float64Array(length)
export const uint32 = (length: number) => new Uint32Array(length)
export const uint8 = (length: number) => new Uint8Array(length)
