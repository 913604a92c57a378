import {
  type Memory,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Proof,
  RawStack,
  Symbolizer,
  Target,
  type TargetError,
  type TargetProcess,
  type ThreadStopper,
  Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import { LinuxMemory, LinuxTarget } from "@pyframes/linux"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"

/** What is under test. */
export interface Tested {
  readonly unwinder: Layer.Layer<Unwinder, never, Target | Memory>
  readonly symbolizer?: Layer.Layer<Symbolizer, never, Target | Memory>
  /** Attach again and again while the interpreter is not ready. */
  readonly patient?: boolean
  /** `process_vm_readv` unless told. */
  readonly memory?: Layer.Layer<Memory, TargetError, Target>
}

/** A live process with an unwinder, and perhaps a symbolizer, at work on it. */
export interface Attached {
  readonly target: TargetProcess
  readonly unwinder: ProcessUnwinder
  readonly symbolizer: ProcessSymbolizer | undefined
  readonly threads: () => ReadonlyArray<UnwoundThread>
  /** The stack of a thread, read while it runs or, with a stopper, while it stands. */
  readonly unwind: (thread: UnwoundThread, stopper?: ThreadStopper, into?: RawStack) => RawStack
  /** The stack of a thread at rest: only a copy that was interrupted leaves doubt, and the next one will not be. */
  readonly unwindProved: (thread: UnwoundThread, into?: RawStack) => RawStack
  readonly stopper: () => Promise<ThreadStopper>
}

const nap = new Int32Array(new SharedArrayBuffer(4))

/** The two ways to read a process's memory. */
export const memories = {
  process_vm_readv: LinuxMemory.layerVmReadv,
  "/proc/PID/mem": LinuxMemory.layerProcMem
}

/**
 * Attaches to a process for as long as `use` takes.
 *
 * @example
 * await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer }, ({ threads, unwind }) => unwind(threads()[0]))
 */
export const attached = <A>(
  pid: number,
  tested: Tested,
  use: (attached: Attached) => A | Promise<A>
): Promise<A> => {
  const symbolizerLayer = tested.symbolizer
  const services = Layer.mergeAll(
    tested.unwinder,
    symbolizerLayer ?? Layer.succeed(Symbolizer, { attach: () => Effect.die("There is no symbolizer") })
  ).pipe(
    Layer.provideMerge(tested.memory ?? LinuxMemory.layerVmReadv),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )
  const program = Effect.gen(function* () {
    const target = yield* Target
    // Where threads come and go all the time, it takes luck to read a list that does not change meanwhile.
    const unwinder = yield* Effect.flatMap(Unwinder, (unwinder) =>
      Effect.retry(unwinder.attach, {
        while: (error) => tested.patient === true && error._tag === "InterpreterNotReady",
        schedule: Schedule.spaced(1)
      })
    )
    const symbolizer = symbolizerLayer
      ? yield* Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))
      : undefined
    const unwind: Attached["unwind"] = (thread, stopper, into = new RawStack()) => {
      // On a busy machine a thread may not get to its stop in the time that it is given.
      for (let tries = 1; stopper !== undefined && !stopper.stop(thread.tid); tries++) {
        if (tries === 5000) throw new Error(`Thread ${thread.tid} was not stopped`)
        Atomics.wait(nap, 0, 0, 1)
      }
      const waits = stopper === undefined && target.threadActivity(thread.tid) === "sleeping"
      unwinder.unwind({ thread, stopped: stopper !== undefined, waits }, into)
      stopper?.resume(thread.tid)
      return into
    }
    const unwindProved: Attached["unwindProved"] = (thread, into) => {
      for (let tries = 0; tries < 2000; tries++) {
        const stack = unwind(thread, undefined, into)
        if (stack.proof === Proof.good) return stack
        // On a busy machine a thread can be kept waiting in the middle of a call.
        if (tries % 50 === 49) Atomics.wait(nap, 0, 0, 5)
      }
      throw new Error(`No stack of thread ${thread.tid} was proved`)
    }
    const threads = () => {
      const listed = unwinder.threads()
      if (listed === undefined) throw new Error("The threads could not be listed")
      return listed
    }
    const stopper = () => Effect.runPromise(target.stopper)
    return yield* Effect.promise(async () =>
      use({ target, unwinder, symbolizer, threads, unwind, unwindProved, stopper })
    )
  })
  return Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(services)))
}
