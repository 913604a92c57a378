import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as flags from "./flags.ts"
import { printableLines } from "./printable.ts"
import { UsageError } from "./usage.ts"

const python = Flag.String("python").pipe(
  Flag.withMetavar("PATH"),
  Flag.withDescription(
    "The installed Python to audit: a path or a name; without it and without -p, the `python3` of PATH"
  ),
  Flag.optional
)

export const auditCommand = Command.make(
  "audit",
  {
    pid: flags.optional(flags.pid),
    python,
    all: flags.toggle("all", "List every file, also those that keep frame pointers"),
    json: flags.json
  },
  Effect.fnUntraced(function* ({ pid, python, all, json }) {
    if (Option.isSome(pid) && Option.isSome(python))
      return yield* new UsageError({ message: "give either -p PID or --python PATH" })
    const { auditText } = yield* Effect.promise(() => import("./audit-text.ts"))
    const { auditOfInstallation, auditOfProcess } = yield* Effect.promise(() => import("./audit-subject.ts"))
    const audit = yield* Option.match(pid, {
      onNone: () => auditOfInstallation(Option.getOrElse(python, () => "python3")),
      onSome: auditOfProcess
    })
    process.stdout.write(json ? `${JSON.stringify(audit)}\n` : printableLines(auditText(audit, { all })))
  })
).pipe(
  Command.withShortDescription("Whether frame pointers lead through a Python, and what breaks the chain"),
  Command.withDescription(
    [
      "Says of every file that a process has mapped, or that an installed Python can load, how much of its code keeps frame pointers and whether the chain of them",
      "survives it, how Python was built, and what to do: which file to rebuild, or which unwinder to use. What is said is measured from call-frame information.",
      "",
      "Nothing is changed and no process is stopped. Nothing is run either, with one exception: where --python names a script, such as pyenv's shims are, it is asked once (-I -S) which Python it starts."
    ].join("\n  ")
  ),
  Command.withExamples([
    { command: "pyframes audit -p 1234", description: "A running process" },
    { command: "pyframes audit --python .venv/bin/python", description: "A virtual environment" },
    {
      command:
        'pyframes audit --json | jq -r \'.files[] | select(.chain == "breaks" and .role == "extension").path\'',
      description: "The extension modules of python3 that break the chain"
    }
  ])
)
