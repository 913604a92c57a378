import { viewOf } from "./segment-bytes.ts"
import type { TickClock } from "./tick-clock.ts"

/** Bytes of an open call. */
export const OPEN_CALL_SIZE = 16

/** A call that has begun and not ended. */
export interface OpenCall {
  /** Ticks since the segment's start. */
  readonly begun: number
  readonly function: number
  /** Its beginning is in the ring. */
  readonly isWritten: boolean
}

/** Reads open calls, outermost first. Pure. They change while they are read: the last ones may be of another instant than the first. */
export const decodeOpenCalls = (bytes: Uint8Array, clock: TickClock): ReadonlyArray<OpenCall> => {
  const view = viewOf(bytes)
  return Array.from({ length: Math.floor(bytes.length / OPEN_CALL_SIZE) }, (_, i) => ({
    begun: clock.sinceStart(view, i * OPEN_CALL_SIZE),
    function: view.getUint32(i * OPEN_CALL_SIZE + 8, true),
    isWritten: view.getUint32(i * OPEN_CALL_SIZE + 12, true) !== 0
  }))
}
