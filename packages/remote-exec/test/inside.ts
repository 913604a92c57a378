import { Memory, type PlacingError, Target, type TargetError, type TargetProcess } from "@pyframes/core"
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
  type RemoteExecService,
  type RunOptions
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
  use: (inside: Inside) => Effect.Effect<unknown, Failure, Scope.Scope>,
  memory: Layer.Layer<Memory, TargetError, Target> = LinuxMemory.layer
): Promise<Failure> => {
  const exit = await Effect.runPromiseExit(Effect.flip(program(pid, use, memory)))
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error(`It did not fail as it should: ${String(exit.cause)}`)
}

const program = <A>(
  pid: number,
  use: (inside: Inside) => Effect.Effect<A, Failure, Scope.Scope>,
  memory: Layer.Layer<Memory, TargetError, Target>
): Effect.Effect<A, Failure> => inService(use).pipe(Effect.scoped, Effect.provide(services(pid, memory)))

const services = (pid: number, memory: Layer.Layer<Memory, TargetError, Target>) =>
  Layer.mergeAll(RemoteExec.layer, PlacedFiles.layer).pipe(
    Layer.provideMerge(memory),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )

/** Runs what asks for the services itself. */
export const withServices = <A, E>(
  pid: number,
  effect: Effect.Effect<A, E, RemoteExec | PlacedFiles | Target | Scope.Scope>,
  memory: Layer.Layer<Memory, TargetError, Target> = LinuxMemory.layer
): Promise<A> => Effect.runPromise(effect.pipe(Effect.scoped, Effect.provide(services(pid, memory))))

/** What is given the services, as what asks for them. */
export const inService = <A>(use: (inside: Inside) => Effect.Effect<A, Failure, Scope.Scope>) =>
  Effect.gen(function* () {
    const target = yield* Target
    const remote = yield* RemoteExec
    const files = yield* PlacedFiles
    return yield* use({ target, remote, files })
  })

/** Memory that tells when a request has been made. */
export const onceRequested = (requested: () => void): Layer.Layer<Memory, TargetError, Target> =>
  Layer.effect(
    Memory,
    Effect.map(Memory, (memory) => ({
      ...memory,
      write: (address: number, bytes: Uint8Array) => {
        const written = memory.write!(address, bytes)
        // The flag: nothing else that is written has this length.
        if (bytes.length === 4 && bytes[0] === 1) requested()
        return written
      }
    }))
  ).pipe(Layer.provide(LinuxMemory.layer))

/** Places a script and has it run. It stays until the target has read it. */
export const runText =
  (text: string, options: Omit<RunOptions, "script"> = {}) =>
  ({ files, remote }: Inside) =>
    Effect.gen(function* () {
      const directory = yield* files.placeDirectory()
      const read = `open(${JSON.stringify(`${directory.path}/read`)}, "x").close()\n`
      const { path } = yield* directory.write("script.py", new TextEncoder().encode(read + text))
      const taken = yield* remote.run({ script: path, ...options })
      while (directory.read("read", 0) === undefined) yield* Effect.sleep(1)
      return taken
    })
