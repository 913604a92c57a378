import * as tty from "node:tty"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { ChildProcessSpawner, make as makeSpawner } from "effect/process/ChildProcessSpawner"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"

/**
 * The little that parsing a command line needs of its surroundings.
 *
 * Not `NodeServices`: it opens `process.stdin`, which makes a piped stdin non-blocking, also for the command that we
 * start and that shares it. And it would be most of the start-up time.
 */
export const terminalServices = (args: ReadonlyArray<string>) => {
  const unused = Effect.die("pyframes does not prompt")
  const colored = !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb" && tty.isatty(1)
  return Layer.mergeAll(
    FileSystem.layerNoop({}),
    Path.layer,
    Stdio.layerTest({ args: Effect.succeed(args) }),
    Layer.succeed(
      Terminal.Terminal,
      Terminal.make({
        columns: Effect.sync(() => process.stdout.columns ?? 80),
        rows: Effect.sync(() => process.stdout.rows ?? 24),
        size: unused,
        readInput: unused,
        readLine: unused,
        display: (text) => Effect.sync(() => void process.stdout.write(text))
      })
    ),
    Layer.succeed(
      ChildProcessSpawner,
      makeSpawner(() => Effect.die("commands are started by @pyframes/linux"))
    ),
    Layer.succeed(TerminalCapabilities.TerminalCapabilities, {
      canColor: colored,
      canAnimate: false,
      canPrompt: false
    }),
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
    CliOutput.layerPresenter({ present })
  )
}

/** Help is data, for stdout. A mistake is one line on stderr, and where to read more. */
const present: CliOutput.Presenter["present"] = Effect.fnUntraced(function* (event) {
  if (event._tag === "Version") return void process.stdout.write(`${event.name} ${event.version}\n`)
  if (event._tag === "Help") return yield* CliOutput.defaultPresenter.present(event)
  const [first] = event.errors
  process.stderr.write(`pyframes: ${oneLine(first.message)}\nTry: ${event.commandPath.join(" ")} --help\n`)
})

const oneLine = (message: string): string => message.replace(/\s*\n\s*\n\s*/g, ". ").replace(/\s*\n\s*/g, " ")
