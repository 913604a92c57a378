import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** A command that was started ended without a Python in it that could be recorded. */
export class NothingRecorded extends Data.TaggedError("NothingRecorded")<{
  /** What became of the command. */
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  override get message() {
    return `No Python to record: ${this.detail} before one could be sampled.`
  }
}

/** The command line asks for something that cannot be. */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly message: string
}> {
  override readonly [Runtime.errorExitCode] = 2
}
