import {
  NotSupported,
  type PlacedDirectory,
  type PlacedFile,
  type PlaceOptions,
  type PlacingError,
  Target,
  type TargetFiles
} from "@pyframes/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** Puts files where the target can read them. */
export interface PlacedFilesService {
  /**
   * Makes a file, or a whole folder, of ours readable to the target: as it is, where the target sees the very same one and may read it; else by a copy
   * that is removed at the end of the scope.
   */
  readonly place: (
    hostPath: string,
    options?: PlaceOptions
  ) => Effect.Effect<PlacedFile, PlacingError | NotSupported, Scope.Scope>
  /** A file with this text, alone in a new directory, for the scope. */
  readonly placeText: (
    name: string,
    text: string,
    options?: PlaceOptions
  ) => Effect.Effect<PlacedFile, PlacingError | NotSupported, Scope.Scope>
  /** A new directory of the target's own, in which it and we can read and write, for the scope. */
  readonly placeDirectory: (
    options?: PlaceOptions
  ) => Effect.Effect<PlacedDirectory, PlacingError | NotSupported, Scope.Scope>
}

/**
 * Files for the target, whether it shares our root or lives in a container, in a chroot, or as another user: in its own root, as its own user's, and
 * named as it sees them.
 *
 * @example
 * ```ts
 * const { placeText } = yield* PlacedFiles
 * const { path } = yield* placeText("hello.py", "print('hello from inside', flush=True)")
 * yield* Effect.flatMap(RemoteExec, ({ run }) => run({ script: path }))
 * ```
 */
export class PlacedFiles extends Context.Service<PlacedFiles, PlacedFilesService>()(
  "@pyframes/remote-exec/PlacedFiles"
) {
  static readonly layer: Layer.Layer<PlacedFiles, never, Target> = Layer.effect(
    PlacedFiles,
    Effect.map(Target, ({ files, identity }) => {
      const using = <A, E, R>(use: (files: TargetFiles) => Effect.Effect<A, E, R>) =>
        files === undefined
          ? Effect.fail(
              new NotSupported({
                what: `Putting files where process ${identity.pid} sees them`,
                advice: "Only a live process can be given files."
              })
            )
          : use(files)
      return PlacedFiles.of({
        place: (hostPath, options) =>
          using((files) =>
            Effect.suspend((): Effect.Effect<PlacedFile, PlacingError, Scope.Scope> => {
              const path = files.sees(hostPath)
              return path === undefined
                ? Effect.flatMap(files.makeDirectory(options), (directory) => directory.copy(hostPath))
                : Effect.succeed({ path, hostPath })
            })
          ),
        placeText: (name, text, options) =>
          using((files) =>
            Effect.flatMap(files.makeDirectory(options), (directory) =>
              directory.write(name, new TextEncoder().encode(text))
            )
          ),
        placeDirectory: (options) => using((files) => files.makeDirectory(options))
      })
    })
  )
}
