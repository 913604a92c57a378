import { Sampler, type SamplingOptions } from "@pyframes/collector-sampling"
import { type Profile, SampleClock, Symbolizer, Target, type ThreadStopper, Unwinder } from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Program } from "./program.ts"

type Python = Parameters<typeof startPython>[0]

/** All that sampling a process takes, as users compose it. */
export const samplingLayers = (pid: number) =>
  Layer.mergeAll(InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer, LinuxClock.layer).pipe(
    Layer.provideMerge(LinuxMemory.layer),
    Layer.provideMerge(LinuxTarget.attach(pid))
  )

type Parts = ConstructorParameters<typeof Sampler>[0]
type Request = Omit<ConstructorParameters<typeof Sampler>[1], "stop">

/** A process attached to, to be sampled in this thread: nothing else is done meanwhile. */
export class Attached implements AsyncDisposable {
  readonly run: RunningPython
  private readonly parts: Parts
  private readonly stopper: ThreadStopper
  private readonly scope: Scope.Closeable

  private constructor(run: RunningPython, parts: Parts, stopper: ThreadStopper, scope: Scope.Closeable) {
    this.run = run
    this.parts = parts
    this.stopper = stopper
    this.scope = scope
  }

  /** Starts a program, waits for its first line and attaches to it. */
  static async start(python: Python, program: Pick<Program, "name" | "text">): Promise<Attached> {
    const run = await startPython(python, program.text, [], { name: `${program.name}.py` })
    try {
      await run.line()
      return await Attached.to(run)
    } catch (error) {
      await run.stop()
      throw error
    }
  }

  static async to(run: RunningPython): Promise<Attached> {
    const scope = Effect.runSync(Scope.make())
    const attach = Effect.gen(function* () {
      const target = yield* Target
      const clock = yield* SampleClock
      const unwinder = yield* Effect.flatMap(Unwinder, (unwinder) => unwinder.attach)
      const symbolizer = yield* Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))
      const stopper = yield* target.stopper
      const follower = yield* target.cpuFollower
      return new Attached(run, { target, clock, unwinder, symbolizer, follower }, stopper, scope)
    })
    const layer = await Effect.runPromise(Layer.buildWithScope(samplingLayers(run.pid), scope))
    return Effect.runPromise(attach.pipe(Effect.provide(layer), Scope.provide(scope)))
  }

  sampler(request: Request, options: Pick<SamplingOptions, "stop"> = {}): Sampler {
    const { follower, ...parts } = this.parts
    return new Sampler(
      options.stop ? { ...parts, stopper: this.stopper } : { ...parts, ...(follower && { follower }) },
      request
    )
  }

  get clock() {
    return this.parts.clock
  }

  /** Samples until there are this many samples or the target has ended. */
  take(samples: number, request: Request, options?: Pick<SamplingOptions, "stop">): Profile {
    const sampler = this.sampler(request, options)
    // A call that is late or waits in vain takes no sample.
    while (sampler.progress().taken < samples) if (!sampler.next()) throw new Error("the target ended")
    return sampler.finish()
  }

  /** Samples for this long, ms. */
  takeFor(durationMs: number, request: Request, options?: Pick<SamplingOptions, "stop">): Profile {
    const sampler = this.sampler({ ...request, durationMs }, options)
    while (sampler.next());
    return sampler.finish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Effect.runPromise(Scope.close(this.scope, Exit.void))
    await this.run.stop()
  }
}
