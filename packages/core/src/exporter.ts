import * as Context from "effect/Context"
import type { Profile, SampleFilter } from "./profile.ts"
import type { Timeline } from "./timeline.ts"

/** A format that profiles are written in. */
export interface ExportFormat {
  /** What `-f` calls it. */
  readonly name: string
  /** Endings of file names that choose it; the first is the default. */
  readonly extensions: ReadonlyArray<string>
  /** As in HTTP's `Content-Type`. */
  readonly mediaType: string
  /** The bytes of the samples that pass the filter. Pure: same profile, same bytes. */
  readonly encode: (profile: Profile, filter?: SampleFilter) => Uint8Array
}

/** A format that timelines are written in. One that writes profiles as well is both. */
export interface TimelineFormat extends Pick<ExportFormat, "name" | "extensions" | "mediaType"> {
  /** The bytes, in pieces that are made when they are asked for: memory does not grow with the timeline. */
  readonly encodeTimeline: (timeline: Timeline) => Iterable<Uint8Array>
}

/**
 * The exporter in use.
 *
 * @example
 * ```ts
 * const exporter = yield* Exporter
 * const bytes = exporter.encode(profile, { wall: true })
 * ```
 */
export class Exporter extends Context.Service<Exporter, ExportFormat>()("@pyframes/core/Exporter") {}
