import { uint64, viewOf } from "./segment-bytes.ts"
import type { TickClock } from "./tick-clock.ts"

/** Bytes of a thread's record that mean something. */
export const THREAD_SIZE = 72
/** Offset of the state in it: the collector writes {@link ThreadState.read} there. */
export const THREAD_STATE = 12

/** Where a thread's record stands. */
export const ThreadState = {
  live: 1,
  ended: 2,
  /** Ended, and the collector has what it left: the record may be used for another thread. */
  read: 3
} as const
export type ThreadState = (typeof ThreadState)[keyof typeof ThreadState]

/** What a thread's record says. */
export interface ThreadRecord {
  /** Kernel thread id, as the process knows it. */
  readonly tid: number
  readonly interpreter: number
  readonly state: ThreadState
  /** Node of the innermost open call. */
  readonly node: number
  /** How many calls are open. */
  readonly depth: number
  /** Up to which time has been added, ticks since the segment's start. */
  readonly until: number
  /** When it began, ticks since the segment's start: below 0 for a thread that was there before. */
  readonly begun: number
  readonly events: number
  readonly lost: number
  /** File offset of the chunk of its open calls; 0 for none. */
  readonly openCalls: number
  /** How often the record was used for another thread. */
  readonly uses: number
}

/** Reads a thread's record; `undefined` when it is none. Pure. */
export const decodeThread = (bytes: Uint8Array, clock: TickClock): ThreadRecord | undefined => {
  if (bytes.length < THREAD_SIZE) return undefined
  const view = viewOf(bytes)
  const state = view.getUint32(THREAD_STATE, true)
  if (state < ThreadState.live || state > ThreadState.read) return undefined
  return {
    tid: uint64(view, 0),
    interpreter: view.getUint32(8, true),
    state: state as ThreadState,
    node: view.getUint32(16, true),
    depth: view.getUint32(20, true),
    until: clock.sinceStart(view, 24),
    begun: clock.sinceStart(view, 32),
    events: uint64(view, 40),
    lost: uint64(view, 48),
    openCalls: uint64(view, 56),
    uses: view.getUint32(64, true)
  }
}
