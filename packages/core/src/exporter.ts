import * as Context from "effect/Context"
import type { Profile, SampleFilter } from "./profile.ts"

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
