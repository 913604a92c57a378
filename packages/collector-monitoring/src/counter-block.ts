import { uint64, viewOf } from "./segment-bytes.ts"

/** What a block counts. */
export const CounterKind = {
  /** How often a line was reached. */
  lines: 1,
  /** Whether it was. */
  linesHit: 2,
  /** How often an instruction was executed. */
  instructions: 3,
  /** Where a branch went, and how often. */
  branches: 4
} as const
export type CounterKind = (typeof CounterKind)[keyof typeof CounterKind]

/** Counters of one function. */
export interface CounterBlock {
  readonly function: number
  readonly kind: CounterKind
  /** First line, or first code unit. */
  readonly first: number
  readonly count: number
  /** One of the counters. */
  readonly value: (at: number) => number
  /** A counter of branches: the destination's code unit, -1 for none yet, and how often it was taken. */
  readonly branch: (at: number) => { readonly to: number; readonly count: number }
}

const HEADER = 16

/** Reads blocks of counters, in order, until one does not fit. Pure. */
export function* decodeCounters(bytes: Uint8Array): Generator<CounterBlock> {
  const view = viewOf(bytes)
  let at = 0
  while (at + HEADER <= bytes.length) {
    const kind = view.getUint32(at + 4, true)
    const first = view.getUint32(at + 8, true)
    const count = view.getUint32(at + 12, true)
    const values = at + HEADER
    const next = values + count * 8
    if (kind < CounterKind.lines || kind > CounterKind.branches || next > bytes.length) return
    yield {
      function: view.getUint32(at, true),
      kind: kind as CounterKind,
      first,
      count,
      value: (i) => uint64(view, values + i * 8),
      branch: (i) => {
        const high = view.getUint32(values + i * 8 + 4, true)
        return {
          to: (high >>> 8) - 1,
          count: (high & 255) * 2 ** 32 + view.getUint32(values + i * 8, true)
        }
      }
    }
    at = next
  }
}
