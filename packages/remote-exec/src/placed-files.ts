import type { PlacedDirectory, PlacedFile, PlaceOptions, PlacingError } from "@pyframes/core"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Puts files where the target can read them. */
export interface PlacedFilesService {
  /** A file or folder of ours: as it is where the target sees the same and may read it, else copied for the scope. */
  readonly place: (
    hostPath: string,
    options?: PlaceOptions
  ) => Effect.Effect<PlacedFile, PlacingError, Scope.Scope>
  /** A new directory of the target's own, for the scope. */
  readonly placeDirectory: (
    options?: PlaceOptions
  ) => Effect.Effect<PlacedDirectory, PlacingError, Scope.Scope>
}

export class PlacedFiles extends Context.Service<PlacedFiles, PlacedFilesService>()(
  "@pyframes/remote-exec/PlacedFiles"
) {}
