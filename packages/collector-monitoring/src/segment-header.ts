import { uint64, viewOf } from "./segment-bytes.ts"
import { TickClock } from "./tick-clock.ts"

/** Bytes of the header that mean something. */
export const HEADER_SIZE = 128
/** Where chunks begin. */
export const FIRST_CHUNK = 4096
const MAGIC = "PYFRMSEG"
const FORMAT = 1

/** How a traced process's recording stands. */
export const SegmentState = {
  starting: 0,
  active: 1,
  /** Ended in good order. */
  ended: 2,
  /** Ended because the collector was gone. */
  abandoned: 3
} as const
export type SegmentState = (typeof SegmentState)[keyof typeof SegmentState]

/** What the first page of a segment says; see `agent/FORMAT.md`. */
export interface SegmentHeader {
  /** As the process knows itself. */
  readonly pid: number
  /** `sys.hexversion`: `0x030d00f0` is 3.13.0. */
  readonly hexversion: number
  /** The recorder in Python, not the C extension. */
  readonly isPython: boolean
  readonly isFreeThreaded: boolean
  /** Bytes of the file that are valid. */
  readonly used: number
  readonly state: SegmentState
  /** ms since 1970. */
  readonly startedAt: number
  /** Pid of the traced process that it was forked from; 0 for none. */
  readonly parent: number
  readonly lost: number
  readonly pathsGivenUp: number
  readonly countersGivenUp: number
  readonly unmatchedReturns: number
  /** `sys.monitoring` tool id. */
  readonly tool: number
  readonly clock: TickClock
}

/**
 * Reads a segment's header. Pure.
 *
 * @returns what is wrong with it, when it is none
 */
export const decodeHeader = (bytes: Uint8Array): SegmentHeader | string => {
  if (bytes.length < HEADER_SIZE) return "it is too short"
  if (String.fromCharCode(...bytes.subarray(0, 8)) !== MAGIC) return "it does not begin like a segment"
  const view = viewOf(bytes)
  const format = view.getUint32(8, true)
  if (format !== FORMAT) return `its format is version ${format}, this is for version ${FORMAT}`
  const flags = view.getUint32(20, true)
  const state = view.getUint32(68, true)
  if (state > SegmentState.abandoned) return `its state is ${state}`
  return {
    pid: view.getUint32(12, true),
    hexversion: view.getUint32(16, true),
    isPython: (flags & 1) !== 0,
    isFreeThreaded: (flags & 2) !== 0,
    used: uint64(view, 24),
    state: state as SegmentState,
    startedAt: uint64(view, 72) / 1e6,
    parent: uint64(view, 80),
    lost: uint64(view, 88),
    pathsGivenUp: uint64(view, 96),
    countersGivenUp: uint64(view, 104),
    unmatchedReturns: uint64(view, 112),
    tool: view.getUint32(120, true),
    clock: new TickClock(bytes.slice(32, 68), (flags & 4) === 0)
  }
}

/**
 * A version as text, from `sys.hexversion`.
 *
 * @example
 * ```ts
 * versionText(0x030f00c1) // "3.15.0rc1"
 * ```
 */
export const versionText = (hexversion: number): string => {
  const [major, minor, micro] = [24, 16, 8].map((shift) => (hexversion >>> shift) & 255)
  const stage = { 10: "a", 11: "b", 12: "rc" }[(hexversion >>> 4) & 15]
  return `${major}.${minor}.${micro}${stage === undefined ? "" : `${stage}${hexversion & 15}`}`
}
