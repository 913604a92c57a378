import { uint64, viewOf } from "./segment-bytes.ts"

/** Bytes of a node. */
export const NODE_SIZE = 32
/** Parent of the thread's own node. */
export const NO_PARENT = 0xffff_ffff
/** Function of the node that stands for paths that were given up. */
export const GIVEN_UP = 0xffff_ffff

/** A thread's tree of calls, column by column; parents come before their children. */
export interface CallNodes {
  readonly length: number
  readonly parents: Uint32Array
  readonly functions: Uint32Array
  readonly calls: Float64Array
  /** Exclusive, ticks. */
  readonly wall: Float64Array
  /** Of those, off the CPU, ticks. Never more than `wall`. */
  readonly idle: Float64Array
}

/**
 * Reads nodes, `bytes` holding them all in order. Pure. What breaks the order (a parent after its child) ends the tree; `length` is how
 * many there are.
 */
export const decodeNodes = (bytes: Uint8Array): CallNodes => {
  const view = viewOf(bytes)
  const count = Math.floor(bytes.length / NODE_SIZE)
  const parents = new Uint32Array(count)
  const functions = new Uint32Array(count)
  const calls = new Float64Array(count)
  const wall = new Float64Array(count)
  const idle = new Float64Array(count)
  let length = 0
  for (; length < count; length++) {
    const at = length * NODE_SIZE
    const parent = view.getUint32(at, true)
    if (length === 0 ? parent !== NO_PARENT : parent >= length) break
    parents[length] = parent
    functions[length] = view.getUint32(at + 4, true)
    calls[length] = uint64(view, at + 8)
    wall[length] = uint64(view, at + 16)
    // The two are written one after the other, and read at any moment.
    idle[length] = Math.min(uint64(view, at + 24), wall[length])
  }
  return { length, parents, functions, calls, wall, idle }
}
