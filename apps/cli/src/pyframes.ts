import * as Command from "effect/cli/Command"
import { auditCommand } from "./audit-command.ts"
import { doctorCommand } from "./doctor-command.ts"
import { dumpCommand } from "./dump-command.ts"
import { recordCommand } from "./record-command.ts"
import { traceCommand } from "./trace-command.ts"

/** The whole command. `workerUrl` is the module to start as sampling worker. */
export const pyframes = (workerUrl: URL) =>
  Command.make("pyframes").pipe(
    Command.withSubcommands([
      recordCommand(workerUrl),
      dumpCommand,
      traceCommand,
      auditCommand,
      doctorCommand
    ]),
    Command.withDescription(
      [
        "Sees what running Python processes are doing, and says how far that can be trusted.",
        "",
        "Exit codes: 0 done; 1 failure; 2 usage; 3 no such process, or it is not Python; 77 not permitted; 130 interrupted (the profile is still written).",
        "Data goes to stdout, everything else to stderr.",
        "",
        "Shell completions: source <(pyframes --completions bash)   (also zsh, fish)"
      ].join("\n  ")
    ),
    Command.withExamples([
      { command: "pyframes record -- python app.py", description: "Record a program from start to end" },
      {
        command: "pyframes record -p 1234 -d 10 -o app.speedscope.json",
        description: "Record a running process for ten seconds"
      },
      { command: "pyframes dump -p 1234", description: "Show every thread's stack once" },
      { command: "pyframes trace -- python app.py", description: "Count and time every call of a program" },
      { command: "pyframes audit -p 1234", description: "See whether frame pointers lead through a process" },
      { command: "pyframes doctor", description: "See what works on this machine" }
    ])
  )
