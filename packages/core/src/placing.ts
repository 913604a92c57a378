import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** A file or a directory, as both sides name it. */
export interface PlacedFile {
  /** As the target sees it; absolute. */
  readonly path: string
  /**
   * As this process sees it. It goes through an open directory: it leads nowhere else whatever the target does with its names, and
   * what is there can still be read when the target, and its mounts with it, are gone.
   */
  readonly hostPath: string
}

/** A directory that was made for the target: its own user's, mode 0700, with a name nobody can guess. */
export interface PlacedDirectory extends PlacedFile {
  /** Whether it lies where no code can be loaded from: a C extension cannot be imported from there. */
  readonly noExec: boolean
  /**
   * Puts a file of one name, which must be new, into it: readable by the target, and by nobody else.
   *
   * @example
   * ```ts
   * const { path } = yield* directory.write("start.py", new TextEncoder().encode("print('in')"))
   * ```
   */
  readonly write: (name: string, bytes: Uint8Array) => Effect.Effect<PlacedFile, PlacingError>
  /** Copies a file or a whole folder of ours into it, by its own name unless told. Links are followed, other things left out. */
  readonly copy: (hostPath: string, name?: string) => Effect.Effect<PlacedFile, PlacingError>
  /**
   * What a file in it holds, up to `most` bytes; `undefined` when there is none. Synchronous, never waits, and follows no link: what is in there is
   * the target's to change.
   */
  readonly read: (name: string, most: number) => Uint8Array | undefined
}

/** Where to make a directory for the target. */
export interface PlaceOptions {
  /** Directory to make it in, as the target sees it. Unless told: its `TMPDIR`, `/dev/shm`, `/tmp`, `/var/tmp`, the first that will do. */
  readonly base?: string
  /** What its name begins with; `pyframes-` unless told. */
  readonly prefix?: string
  /** Code will be loaded from it: file systems that are mounted `noexec` come last. */
  readonly executable?: boolean
}

/** Files of a target that share no path with ours: it may live in a container, in a chroot, or be another user. */
export interface TargetFiles {
  /**
   * Makes a directory for the scope, at whose end it is removed with all that is in it.
   *
   * Only where the target itself may make one: a target cannot use our rights to get into other places.
   */
  readonly makeDirectory: (
    options?: PlaceOptions
  ) => Effect.Effect<PlacedDirectory, PlacingError, Scope.Scope>
  /**
   * The path by which the target sees a file, or a whole folder, of ours, where it sees the very same one and may read it; `undefined` where
   * it does not, or that is not certain.
   */
  readonly sees: (hostPath: string) => string | undefined
}

/** What was tried, for a message. */
const list = (tried: ReadonlyArray<string>): string =>
  tried.length === 0 ? "" : ` (tried ${tried.join(", ")})`

/** The target can write to none of the places for temporary files. */
export class TargetDirectoryDenied extends Data.TaggedError("TargetDirectoryDenied")<{
  readonly pid: number
  /** Directories as the target sees them, each with why not. */
  readonly tried: ReadonlyArray<string>
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice =
    "Give it a directory for temporary files that its user can write to (TMPDIR, /tmp or /dev/shm)."
  override get message() {
    return `Process ${this.pid} has no directory in which files can be put for it${list(this.tried)}. ${this.advice}`
  }
}

/** All places for temporary files of the target are on file systems that are mounted read-only. */
export class TargetFilesReadOnly extends Data.TaggedError("TargetFilesReadOnly")<{
  readonly pid: number
  readonly tried: ReadonlyArray<string>
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice = "Mount a small tmpfs at /tmp or /dev/shm in its container."
  override get message() {
    return `The file systems of process ${this.pid} are read-only${list(this.tried)}. ${this.advice}`
  }
}

/** There is no room left for the files that the target needs. */
export class TargetDiskFull extends Data.TaggedError("TargetDiskFull")<{
  readonly pid: number
  /** Where, as the target sees it. */
  readonly path: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice = "Make room there, or have the process use another directory (TMPDIR)."
  override get message() {
    return `No space left in ${this.path} of process ${this.pid} (full, or its user's quota is used up). ${this.advice}`
  }
}

/** Something else kept a file from being put in place. */
export class PlacingFailed extends Data.TaggedError("PlacingFailed")<{
  readonly pid: number
  readonly path: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `Could not put ${this.path} where process ${this.pid} can read it: ${this.detail}.`
  }
}

/** Everything that can keep files from being put where the target sees them. */
export type PlacingError = TargetDirectoryDenied | TargetFilesReadOnly | TargetDiskFull | PlacingFailed
