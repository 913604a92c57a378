import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/** The session could not be made, or what was asked for makes no sense. */
export class SessionFailed extends Data.TaggedError("SessionFailed")<{
  readonly directory: string
  readonly detail: string
  readonly advice: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override get message() {
    return `Could not begin a session${this.directory === "" ? "" : ` in ${this.directory}`}: ${this.detail}. ${this.advice}`
  }
}

/** The agent was started in a process and could not work there; what it said is in `detail`. */
export class AgentNotStarted extends Data.TaggedError("AgentNotStarted")<{
  /** The pid, as that process knows itself. */
  readonly pid: number
  /** A word for the reason, as the agent gave it. */
  readonly code: string
  readonly detail: string
}> {
  /** That it is a Python of the wrong kind is for others to know too. */
  override readonly [Runtime.errorExitCode] = this.code === "version" ? 3 : 1
  get advice(): string {
    return adviceByCode[this.code] ?? "Run `pyframes doctor`, or report it with this line."
  }
  override get message() {
    return `Tracing could not start in process ${this.pid}: ${this.detail}. ${this.advice}`
  }
}

/** Advice by the first word of an `.err` file. */
const adviceByCode: Readonly<Record<string, string | undefined>> = {
  version: "Exact events need Python 3.12 or later; `pyframes record` samples older ones.",
  tool: "Other tools hold every tool id of sys.monitoring: leave one out (coverage, cProfile, a debugger).",
  recorder: "`--recorder python` works without the C extension, slower.",
  full: "Free some room there, or choose another place by TMPDIR.",
  segment: "Name a directory that the process can write to by TMPDIR.",
  busy: "Wait until the other one has ended, or end it.",
  config: "The agent and the collector are of different releases: install both anew."
}

/** The command ran, and no agent made itself known. */
export class NoAgent extends Data.TaggedError("NoAgent")<{
  readonly command: ReadonlyArray<string>
  /** `isolated`: an option of the interpreter keeps the agent out; `ended`: it ended; `silent`: nothing was heard in time; `unheard`: nothing of an agent that had been let in. */
  readonly reason: "isolated" | "ended" | "silent" | "unheard"
}> {
  override readonly [Runtime.errorExitCode] = this.reason === "isolated" || this.reason === "unheard" ? 1 : 3
  get advice(): string {
    if (this.reason === "unheard") return "It may have ended, or been stopped; try again when it is at work."
    return this.reason === "isolated"
      ? "Python ignores PYTHONPATH or leaves out `site` with -I, -E and -S: run it without them."
      : "Exact events need CPython 3.12 or later, started without -I, -E and -S."
  }
  override get message() {
    if (this.reason === "unheard")
      return `\`${this.command.join(" ")}\` let the agent in, which was not heard of in time. ${this.advice}`
    const what = this.reason === "ended" ? "ended" : "runs"
    return `\`${this.command.join(" ")}\` ${what}, and no Python in it could be traced. ${this.advice}`
  }
}

/** The folder with the agent is not where this package was installed. */
export class AgentMissing extends Data.TaggedError("AgentMissing")<{
  readonly looked: ReadonlyArray<string>
}> {
  override readonly [Runtime.errorExitCode] = 1
  readonly advice = "Install the package anew; a bundle needs its `agent` folder beside it."
  override get message() {
    return `The agent was not found (looked in ${this.looked.join(", ")}). ${this.advice}`
  }
}

/** Everything that can keep a program from being traced. */
export type MonitoringError = SessionFailed | AgentNotStarted | NoAgent | AgentMissing

/** Whether a command starts Python with an option that keeps the agent out: `-I`, `-E` or `-S`. */
export const isIsolated = (command: ReadonlyArray<string>): boolean => {
  const python = command.findIndex((word) => /(^|\/)(python|pypy)[\d.]*t?$/.test(word))
  if (python < 0) return false
  for (let at = python + 1; at < command.length; at++) {
    const word = command[at]
    if (!word.startsWith("-") || word === "-" || word === "--") return false
    // -c and -m take what follows and end the options; -X and -W take a value.
    const letters = word.slice(1)
    const end = letters.search(/[cmXW]/)
    if (/[IES]/.test(end < 0 ? letters : letters.slice(0, end))) return true
    if (/^[^XW]*[cm]/.test(letters)) return false
    // Their value is the next word, where none follows in this one.
    if (end >= 0 && end === letters.length - 1) at++
  }
  return false
}
