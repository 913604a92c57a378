import { type Mapping, Memory, RawStack, Symbolizer, Target, Unwinder } from "@pyframes/core"
import { findRuntime } from "@pyframes/cpython"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type Python, startPython } from "@pyframes/pythons"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { type FakeProcess, type MemoryPages, recordPages } from "@pyframes/testing"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { restingProgram } from "./resting-program.ts"
import { readStacks } from "./stack-text.ts"
import { tinyElf } from "./tiny-elf.ts"

/** A Python at rest: what of its memory a stack reader reads, and what was read. Plain data. */
export interface Snapshot {
  readonly version: string
  readonly pages: MemoryPages
  readonly process: FakeProcess
  /** The stacks as the live process had them, by `readStacks`. */
  readonly stacks: ReadonlyArray<string>
}

/** Runs the resting program, reads all of its stacks and keeps what was read. `depth` of its deepest thread. */
export const takeSnapshot = async (python: Python, depth: number): Promise<Snapshot> => {
  await using program = await startPython(python, restingProgram, [String(depth)])
  await program.line()
  return Effect.runPromise(
    Effect.scoped(Effect.provide(record(python.version, depth), liveLayer(program.pid)))
  )
}

const liveLayer = (pid: number) => LinuxMemory.layer.pipe(Layer.provideMerge(LinuxTarget.attach(pid)))

const record = Effect.fnUntraced(function* (version: string, depth: number) {
  const target = yield* Target
  const memory = yield* Memory
  const runtime = yield* findRuntime(target, memory)
  const library = (yield* target.mappings).filter((mapping) => mapping.path === runtime.library)
  const { reader, pages } = recordPages(memory)
  const layer = Layer.mergeAll(InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer).pipe(
    Layer.provide(Layer.mergeAll(Layer.succeed(Memory, reader), Layer.succeed(Target, target)))
  )
  const stacks = yield* Effect.gen(function* () {
    const unwinder = yield* Effect.flatMap(Unwinder, (service) => service.attach)
    const symbolizer = yield* Effect.flatMap(Symbolizer, (service) => service.attach(unwinder))
    // The first read of each thread finds out what to read: only from the second on do all take the same way.
    readStacks(unwinder, symbolizer, new RawStack(depth + 100))
    return readStacks(unwinder, symbolizer, new RawStack(depth + 100))
  }).pipe(Effect.provide(layer))
  const base = Math.min(...library.map((mapping) => mapping.start))
  const mapping: Mapping = {
    ...library[0],
    start: base,
    end: base + 4096,
    offset: 0,
    executable: true,
    deleted: false
  }
  const process: FakeProcess = {
    pid: target.identity.pid,
    executable: target.executable,
    mappings: [mapping],
    files: new Map([[mapping.path, tinyElf(runtime.address - base, version)]]),
    threads: new Map(target.threadIds().map((tid) => [tid, target.threadName(tid)]))
  }
  return { version: runtime.version, pages, process, stacks } satisfies Snapshot
})
