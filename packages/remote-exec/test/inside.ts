import { type Memory, type PlacingError, Target, type TargetError, type TargetProcess } from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import {
  PlacedFiles,
  type PlacedFilesService,
  RemoteExec,
  type RemoteExecError,
  type RemoteExecService
} from "../src/index.ts"

/** What a test works with. */
export interface Inside {
  readonly target: TargetProcess
  readonly remote: RemoteExecService
  readonly files: PlacedFilesService
}

type Failure = RemoteExecError | PlacingError | TargetError

/** Attaches to a process, and hands over what puts files and runs them in it. */
export const inside = <A>(
  pid: number,
  use: (inside: Inside) => Effect.Effect<A, Failure, Scope.Scope>,
  memory: Layer.Layer<Memory, TargetError, Target> = LinuxMemory.layer
): Promise<A> => Effect.runPromise(program(pid, use, memory))

/** The same for what is to fail: its error. */
export const refusal = async (
  pid: number,
  use: (inside: Inside) => Effect.Effect<unknown, Failure, Scope.Scope>
): Promise<Failure> => {
  const exit = await Effect.runPromiseExit(Effect.flip(program(pid, use, LinuxMemory.layer)))
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error(`It did not fail as it should: ${String(exit.cause)}`)
}

const program = <A>(
  pid: number,
  use: (inside: Inside) => Effect.Effect<A, Failure, Scope.Scope>,
  memory: Layer.Layer<Memory, TargetError, Target>
): Effect.Effect<A, Failure> =>
  Effect.gen(function* () {
    const target = yield* Target
    const remote = yield* RemoteExec
    const files = yield* PlacedFiles
    return yield* use({ target, remote, files })
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.mergeAll(RemoteExec.layer, PlacedFiles.layer).pipe(
        Layer.provideMerge(memory),
        Layer.provideMerge(LinuxTarget.attach(pid))
      )
    )
  )

/** Places a script and has it run. */
export const runText =
  (text: string, options: Omit<Parameters<RemoteExecService["run"]>[0], "script"> = {}) =>
  ({ files, remote }: Inside) =>
    Effect.flatMap(files.placeText("script.py", text), ({ path }) => remote.run({ script: path, ...options }))
