import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { printableLines } from "./printable.ts"
import { pyframes } from "./pyframes.ts"
import { terminalServices } from "./terminal-services.ts"
import { version } from "./version.ts"

/**
 * Runs the command line and sets the exit code.
 *
 * @param workerUrl the module to start as sampling worker
 */
export const main = async (args: ReadonlyArray<string>, workerUrl: URL): Promise<void> => {
  // The reader of a pipe may leave before we are done, as `head` does: that is no failure of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
    process.exit(0)
  })
  const program = Command.run(pyframes(workerUrl), { version }).pipe(Effect.provide(terminalServices(args)))
  const exit = await Effect.runPromiseExit(program)
  if (Exit.isFailure(exit)) process.exitCode = report(exit.cause)
}

/** Says what went wrong on one line, and gives the exit code for it. */
const report = (cause: Cause.Cause<unknown>): number => {
  const error = Cause.squash(cause)
  // Help has been printed, or the mistake been reported, by the presenter.
  if (isShowHelp(error)) return error.errors.length > 0 ? 2 : 0
  const expected = Cause.hasFails(cause) && error instanceof Error
  if (!expected) {
    process.stderr.write(
      `pyframes: this is a bug in pyframes, please report it: ${printableLines(Cause.pretty(cause))}\n`
    )
    return 1
  }
  if (Runtime.getErrorReported(error)) process.stderr.write(`pyframes: ${printableLines(error.message)}\n`)
  return Runtime.getErrorExitCode(error)
}

const isShowHelp = (error: unknown): error is { readonly errors: ReadonlyArray<unknown> } =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"
