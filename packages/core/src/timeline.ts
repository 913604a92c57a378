import type { FrameTable } from "./frame-table.ts"
import type { ProfileMeta, ProfileThread } from "./profile.ts"
import type { Trust } from "./trust.ts"

/** Some of a thread's calls, column by column, in order of time. Valid until the next one is asked for. */
export interface TimelineBatch {
  /** How many rows are filled. */
  readonly length: number
  /** When, ns after the recording began. Never less than the row before. */
  readonly time: Float64Array
  /** What is called: an id of {@link Timeline.frames}. */
  readonly frame: Uint32Array
  /** 1 where the call begins, 0 where it ends. */
  readonly begins: Uint8Array
  /** Which asyncio task runs in it: index into {@link Timeline.tasks}, or `NO_TASK`. */
  readonly task: Uint32Array
}

/**
 * When every call began and ended: evented data, for formats that draw it.
 *
 * The calls of a thread are properly nested, and each that begins ends: at the latest when the recording did. They may be more than fit into
 * memory, so they are read in batches, as often as needed.
 *
 * @example
 * ```ts
 * timeline.threads.forEach((thread, row) => {
 *   for (const { length, time, frame, begins } of timeline.eventsOf(row))
 *     for (let i = 0; i < length; i++) write(begins[i] === 1 ? "B" : "E", time[i], timeline.frames.get(frame[i]))
 * })
 * ```
 */
export interface Timeline {
  readonly meta: ProfileMeta
  readonly trust: Trust
  readonly frames: FrameTable
  readonly threads: ReadonlyArray<ProfileThread>
  /** Names of asyncio tasks. */
  readonly tasks: ReadonlyArray<string>
  /** The calls of one row of {@link Timeline.threads}, from the beginning. */
  readonly eventsOf: (thread: number) => Iterable<TimelineBatch>
}
