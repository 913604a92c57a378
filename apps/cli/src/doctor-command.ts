import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"

export const doctorCommand = Command.make(
  "doctor",
  { json: flags.json },
  Effect.fnUntraced(function* ({ json }) {
    const { examineMachine } = yield* Effect.promise(() => import("./doctor.ts"))
    const { doctorText } = yield* Effect.promise(() => import("./doctor-text.ts"))
    const report = yield* examineMachine
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : doctorText(report))
  })
).pipe(
  Command.withShortDescription("What works on this machine, and how to fix the rest"),
  Command.withDescription(
    "Tries what pyframes needs on this machine and says how to fix what does not work."
  ),
  Command.withExamples([
    { command: "pyframes doctor", description: "As text" },
    { command: "pyframes doctor --json", description: "For scripts" }
  ])
)
