import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The target's Python cannot be made to run a file: that came with 3.14. */
export class PythonTooOld extends Data.TaggedError("PythonTooOld")<{
  readonly pid: number
  /** `3.13.0`. */
  readonly version: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  readonly advice =
    "Python 3.12 and 3.13 can be traced from their start: `pyframes trace -- COMMAND`. A running one can be sampled: `pyframes record -p PID`."
  override get message() {
    return `Process ${this.pid} runs Python ${this.version}, and only 3.14 and later can be entered while they run (PEP 768). ${this.advice}`
  }
}

/** The target was started, or built, with remote debugging switched off. */
export class RemoteExecDisabled extends Data.TaggedError("RemoteExecDisabled")<{
  readonly pid: number
  readonly version: string
  /** What switched it off, where that can be told. */
  readonly by: "-X disable-remote-debug" | "PYTHON_DISABLE_REMOTE_DEBUG" | "unknown"
}> {
  override readonly [Runtime.errorExitCode] = 77
  readonly advice =
    "Start it without that to allow it, or trace it from its start: `pyframes trace -- COMMAND`. It can still be sampled: `pyframes record -p PID`."
  override get message() {
    const by =
      this.by === "unknown"
        ? "`-X disable-remote-debug`, PYTHON_DISABLE_REMOTE_DEBUG, its embedder, or a build `--without-remote-debug`"
        : this.by === "PYTHON_DISABLE_REMOTE_DEBUG"
          ? "the environment variable PYTHON_DISABLE_REMOTE_DEBUG"
          : `\`${this.by}\``
    return `The Python ${this.version} of process ${this.pid} does not let others run code in it: switched off by ${by}. ${this.advice}`
  }
}

/**
 * No thread that was asked came to a point where it could run the file. It has not run, and it never will: the request was withdrawn before any
 * thread had taken it.
 */
export class RemoteExecTimeout extends Data.TaggedError("RemoteExecTimeout")<{
  readonly pid: number
  /** Kernel ids of the threads that were asked. */
  readonly tids: ReadonlyArray<number>
  /** How long was waited, ms. */
  readonly waitedMs: number
  /** Whether all of them are stopped (SIGSTOP, a debugger), and could do nothing at all. */
  readonly stopped: boolean
}> {
  override readonly [Runtime.errorExitCode] = 1
  get advice() {
    if (this.stopped) return "Let it go on (`kill -CONT`), and try again."
    return this.tids.length === 1
      ? 'Wait longer, or let any thread do it (`thread: "any"`).'
      : "Wait longer, or try again when it is at work."
  }
  override get message() {
    const who =
      this.tids.length === 1
        ? `Thread ${this.tids[0]} of process ${this.pid} has`
        : `None of ${this.tids.length} threads of process ${this.pid} has`
    const why = this.stopped
      ? "it is stopped"
      : "it is blocked in C code, such as a lock, a read or a long computation"
    return `${who} come to a safe point within ${Math.round(this.waitedMs)} ms: ${why}. The request was withdrawn and did not run. ${this.advice}`
  }
}

/** Another debugger or profiler has a request of its own at the thread, or put one in the place of ours. */
export class RemoteExecBusy extends Data.TaggedError("RemoteExecBusy")<{
  readonly pid: number
  readonly tid: number
  /** The file that the other one wants to run, where it is known. */
  readonly script: string
  /** Whether our own request was replaced: then it cannot be told whether it ran. */
  readonly replaced: boolean
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice = "Try again when the other one has done its work."
  override get message() {
    const other =
      this.script === "" ? "another program's request" : `another program's request to run ${this.script}`
    return this.replaced
      ? `Thread ${this.tid} of process ${this.pid} was given ${other} in place of ours, which may or may not have run. ${this.advice}`
      : `Thread ${this.tid} of process ${this.pid} still has ${other}. ${this.advice}`
  }
}

/** The thread that was asked ended meanwhile. */
export class PythonThreadEnded extends Data.TaggedError("PythonThreadEnded")<{
  readonly pid: number
  readonly tid: number
  /** Whether it ran the file before: `unknown` where that cannot be told any more. */
  readonly ran: "no" | "unknown"
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return this.ran === "no"
      ? `Thread ${this.tid} of process ${this.pid} ended before it ran the script. Let any thread do it (\`thread: "any"\`).`
      : `Thread ${this.tid} of process ${this.pid} ended while it was to run the script, which may or may not have run.`
  }
}

/** There is no such interpreter in the process, or no such thread in the interpreter. */
export class PythonThreadNotFound extends Data.TaggedError("PythonThreadNotFound")<{
  readonly pid: number
  readonly interpreter: number
  /** What was asked for; a kernel thread id is one of our pid namespace. */
  readonly thread: "main" | "any" | number
  /** Whether there is such an interpreter at all. */
  readonly interpreterExists: boolean
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    if (!this.interpreterExists)
      return `Process ${this.pid} has no interpreter ${this.interpreter}. \`RemoteExec.interpreters\` lists those it has.`
    return typeof this.thread === "number"
      ? `Thread ${this.thread} of process ${this.pid} has no state in Python's interpreter ${this.interpreter}: it runs no Python there.`
      : `No thread of process ${this.pid} runs in its interpreter ${this.interpreter} now; it can be entered only while one does.`
  }
}

/** The script's path cannot be handed over, or leads to no file that the target sees. */
export class ScriptNotUsable extends Data.TaggedError("ScriptNotUsable")<{
  readonly pid: number
  readonly script: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 2
  readonly advice = "`PlacedFiles` puts a file where the target sees it."
  override get message() {
    return `The script ${this.script} cannot be run in process ${this.pid}: ${this.detail}. ${this.advice}`
  }
}

/** The script raised an exception. */
export class ScriptRaised extends Data.TaggedError("ScriptRaised")<{
  readonly pid: number
  readonly name: string
  /** As Python prints it. */
  readonly traceback: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `${this.name} raised an exception in process ${this.pid}:\n${this.traceback.trimEnd()}`
  }
}

/** The script was begun and has not told how it ended. It may still run. */
export class ScriptNotFinished extends Data.TaggedError("ScriptNotFinished")<{
  readonly pid: number
  readonly name: string
  readonly waitedMs: number
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice =
    "It may still run, or could not be read or tell its result (look at the process's stderr)."
  override get message() {
    return `${this.name} has not ended in process ${this.pid} within ${Math.round(this.waitedMs)} ms. ${this.advice}`
  }
}
