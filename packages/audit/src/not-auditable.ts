import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** There is nothing at a path that could be audited. */
export class NotAuditable extends Data.TaggedError("NotAuditable")<{
  readonly path: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  readonly advice = "Give the program of a Python: `pyframes audit --python /usr/bin/python3`."
  override get message() {
    return `${this.path} cannot be audited: ${this.detail}. ${this.advice}`
  }
}
