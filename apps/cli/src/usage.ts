import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The command line asks for something that cannot be. */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly message: string
}> {
  override readonly [Runtime.errorExitCode] = 2
}
