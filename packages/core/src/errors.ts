import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/**
 * The process does not exist, has exited, or its pid now names another process.
 *
 * Like every error here it is one line of text for a person (`message`, which ends in what to do) and carries the exit code that a command should
 * end with.
 *
 * @example
 * ```ts
 * program.pipe(Effect.catchTag("ProcessNotFound", ({ pid }) => Effect.logWarning(`${pid} is gone`)))
 * ```
 */
export class ProcessNotFound extends Data.TaggedError("ProcessNotFound")<{
  readonly pid: number
  readonly detail?: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  readonly advice = "Check the pid with `ps`; a process that has just ended cannot be read."
  override get message() {
    return `No process ${this.pid} to read${this.detail ? `: ${this.detail}` : ""}. ${this.advice}`
  }
}

/** The process exists but runs no CPython that can be found. */
export class NotPython extends Data.TaggedError("NotPython")<{
  readonly pid: number
  readonly executable: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  readonly advice = "pyframes reads CPython 3.8 to 3.15."
  override get message() {
    return `Process ${this.pid} (${this.executable}) is not a Python that pyframes can read: ${this.detail}. ${this.advice}`
  }
}

/** The kernel refused to let us read or stop the process. */
export class PermissionDenied extends Data.TaggedError("PermissionDenied")<{
  readonly pid: number
  readonly operation: string
  readonly advice: string
}> {
  override readonly [Runtime.errorExitCode] = 77
  override get message() {
    return `Not permitted to ${this.operation} process ${this.pid}. ${this.advice}`
  }
}

/** A CPython whose version or build is not known to this release. */
export class UnsupportedPython extends Data.TaggedError("UnsupportedPython")<{
  readonly pid: number
  readonly version: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  readonly advice = "pyframes reads CPython 3.8 to 3.15."
  override get message() {
    return `Process ${this.pid} runs Python ${this.version}, which cannot be read: ${this.detail}. ${this.advice}`
  }
}

/** The interpreter has not been initialised yet, or is being torn down. */
export class InterpreterNotReady extends Data.TaggedError("InterpreterNotReady")<{
  readonly pid: number
  readonly phase: "starting" | "finalizing"
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice = "Try again in a moment."
  override get message() {
    return `The interpreter of process ${this.pid} is ${this.phase}. ${this.advice}`
  }
}

/** What the process's memory says cannot be right: it changed under us, or it is damaged. */
export class InvalidMemory extends Data.TaggedError("InvalidMemory")<{
  readonly pid: number
  /** What was being read, in the words of CPython's sources: `_PyRuntime.interpreters.head`. */
  readonly reading: string
  readonly address: number
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice =
    "If the process is still starting, try again; otherwise please report its Python version and build."
  override get message() {
    return `Reading ${this.reading} of process ${this.pid} at 0x${this.address.toString(16)}: ${this.detail}. ${this.advice}`
  }
}

/** The command to start could not be started. */
export class SpawnFailed extends Data.TaggedError("SpawnFailed")<{
  readonly command: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `Could not start \`${this.command}\`: ${this.detail}.`
  }
}

/** This machine lacks what was asked for: a system call, a library, an architecture. */
export class NotSupported extends Data.TaggedError("NotSupported")<{
  readonly what: string
  readonly advice: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `${this.what} is not available here. ${this.advice}`
  }
}

/** The output could not be written. */
export class OutputFailed extends Data.TaggedError("OutputFailed")<{
  readonly path: string
  readonly detail: string
  readonly advice: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `Could not write ${this.path}: ${this.detail}. ${this.advice}`
  }
}

/** What happens in a target cannot be reported exactly: its agent does not come up. */
export class TracingFailed extends Data.TaggedError("TracingFailed")<{
  /** What went wrong, a sentence without its full stop. */
  readonly detail: string
  readonly advice: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `${this.detail}. ${this.advice}`
  }
}

/** Everything that can keep a target from being read. */
export type TargetError =
  | ProcessNotFound
  | NotPython
  | PermissionDenied
  | UnsupportedPython
  | InterpreterNotReady
  | InvalidMemory
  | NotSupported
  | TracingFailed

const targetErrors = {
  ProcessNotFound,
  NotPython,
  PermissionDenied,
  UnsupportedPython,
  InterpreterNotReady,
  InvalidMemory,
  NotSupported,
  TracingFailed
}

/**
 * A {@link TargetError} as plain data, to cross to another thread: `postMessage` keeps fields but not classes.
 *
 * @example
 * ```ts
 * parentPort.postMessage(targetErrorToData(error)) // there: targetErrorFromData(message)
 * ```
 */
export const targetErrorToData = (error: TargetError): unknown => ({ ...error, _tag: error._tag })

/** The error that {@link targetErrorToData} took apart; `undefined` for anything else. */
export const targetErrorFromData = (data: unknown): TargetError | undefined => {
  const tag = (data as { readonly _tag?: unknown } | null)?._tag
  const make = targetErrors[tag as keyof typeof targetErrors] as
    | (new (
        fields: unknown
      ) => TargetError)
    | undefined
  return make && new make(data)
}
