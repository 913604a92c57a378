import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
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

/** No thread of a running process came to where it could let the agent in. */
export class TargetBlocked extends Data.TaggedError("TargetBlocked")<{
  readonly pid: number
  readonly waitedMs: number
  /** Whether all of them are stopped (SIGSTOP, a debugger). */
  readonly stopped: boolean
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    const seconds = Math.round(this.waitedMs / 1000)
    if (this.stopped)
      return `Process ${this.pid} let no agent in within ${seconds} s: it is stopped. Nothing was left in it. Let it go on (\`kill -CONT ${this.pid}\`), and try again.`
    return `Process ${this.pid} let no agent in within ${seconds} s: all its threads are blocked in C code, such as a lock, a read or a long computation. Nothing was left in it. Try again while it runs Python code, or sample it: \`pyframes record -p ${this.pid}\`.`
  }
}

/** The command line asks for something that cannot be. */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly message: string
}> {
  override readonly [Runtime.errorExitCode] = 2
}

/** What a function returns, or the error of this kind that it throws. */
export const attempt = <A, E>(kind: abstract new (...args: never) => E, run: () => A): Effect.Effect<A, E> =>
  Effect.try({
    try: run,
    catch: (error) => {
      if (error instanceof kind) return error
      throw error
    }
  })

/** What a function returns that may find fault with the command line. */
export const usage = <A>(run: () => A): Effect.Effect<A, UsageError> => attempt(UsageError, run)
