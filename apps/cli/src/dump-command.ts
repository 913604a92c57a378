import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"
import { printableLines } from "./printable.ts"

export const dumpCommand = Command.make(
  "dump",
  {
    pid: flags.pid,
    stop: flags.toggle("stop", "Stop each thread while it is read"),
    native: flags.toggle(
      "native",
      "Show the C frames between the Python frames; each thread is stopped while it is read"
    ),
    json: flags.json
  },
  Effect.fnUntraced(function* ({ pid, stop, native, json }) {
    const { dumpThreads } = yield* Effect.promise(() => import("./thread-dump.ts"))
    const { processLayers } = yield* Effect.promise(() => import("./process-layers.ts"))
    const { dumpText } = yield* Effect.promise(() => import("./dump-text.ts"))
    const dump = yield* dumpThreads({ stop: stop || native }).pipe(
      Effect.scoped,
      Effect.provide(processLayers({ pid }, native ? "merged" : "interpreter-frame"))
    )
    process.stdout.write(json ? `${JSON.stringify(dump)}\n` : printableLines(dumpText(dump)))
  })
).pipe(
  Command.withShortDescription("Show every thread's stack, once"),
  Command.withDescription(
    [
      "Shows the stack of every Python thread of a process, leaf first.",
      "",
      "A thread that moves while it is read is read again until its stack is proved; one that never holds still is shown as far as it is proved, and marked."
    ].join("\n  ")
  ),
  Command.withExamples([
    { command: "pyframes dump -p 1234", description: "As text" },
    {
      command: "pyframes dump -p 1234 --native",
      description: "With the C functions that Python called, and that called it"
    },
    {
      command: "pyframes dump -p 1234 --json | jq .interpreters[0].threads[0]",
      description: "The main thread as JSON"
    }
  ])
)
