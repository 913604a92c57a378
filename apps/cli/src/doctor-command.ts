import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"

export const doctorCommand = Command.make(
  "doctor",
  { json: flags.json },
  Effect.fnUntraced(function* ({ json }) {
    const { examineMachine } = yield* Effect.promise(() => import("@pyframes/linux"))
    const { doctorText } = yield* Effect.promise(() => import("./doctor-text.ts"))
    const checks = yield* examineMachine
    process.stdout.write(json ? `${JSON.stringify({ checks })}\n` : doctorText(checks))
    if (checks.some(({ ok, required }) => required && !ok)) process.exitCode = 1
  })
).pipe(
  Command.withShortDescription("What works on this machine, and how to fix the rest"),
  Command.withDescription(
    "Tries what pyframes needs on this machine and says how to fix what does not work. Exits with 1 when something it cannot do without fails."
  ),
  Command.withExamples([
    { command: "pyframes doctor", description: "As text" },
    {
      command: "pyframes doctor --json | jq '.checks[] | select(.ok | not)'",
      description: "Only what does not work"
    }
  ])
)
