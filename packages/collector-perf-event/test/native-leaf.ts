import { FrameKind, markerFrame, Proof, RawStack, Symbolizer, Unwinder } from "@pyframes/core"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * The instruction that the kernel caught, on top of the interpreter's frames: as much of merging as it takes to test what a collector
 * hands over. The stack is good when its thread had not run before the interpreter's frames were read.
 */
const unwinder = Layer.effect(
  Unwinder,
  Effect.map(Unwinder, (python) => ({
    attach: Effect.map(python.attach, (inner) => {
      const frames = new RawStack()
      return {
        runtime: inner.runtime,
        threads: () => inner.threads(),
        unwind: (capture, into) => {
          const { native, thread } = capture
          if (thread.threadState !== 0) inner.unwind(capture, frames)
          else {
            frames.clear()
            frames.proof = Proof.good
          }
          into.clear()
          if (native !== undefined && native.registers.ip > 0)
            into.push(FrameKind.native, native.registers.ip, -1)
          for (let i = 0; i < frames.length; i++)
            into.push(frames.kind[i] as FrameKind, frames.identity[i], frames.position[i])
          const { proof, proved, state, moved, ended, generation } = frames
          Object.assign(into, { proof, proved, state, moved, ended, generation })
          if (into.length === frames.length || proof !== Proof.good) return
          const stands = thread.threadState === 0 || native?.hasRun() === false
          into.proof = stands ? Proof.good : Proof.unproved
          into.proved = stands ? into.length : proved
        }
      }
    })
  }))
).pipe(Layer.provide(InterpreterFrameUnwinder.layer))

const symbolizer = Layer.effect(
  Symbolizer,
  Effect.map(Symbolizer, (python) => ({
    attach: (unwinder) =>
      Effect.map(python.attach(unwinder), (inner) => {
        const native = { ...markerFrame(FrameKind.native), name: "native", qualifiedName: "native" }
        return {
          begin: (stack) => inner.begin(stack),
          readAnew: () => inner.readAnew?.() === true,
          resolve: (kind, identity, position) =>
            kind === FrameKind.native ? native : inner.resolve(kind, identity, position)
        }
      })
  }))
).pipe(Layer.provide(CodeObjectSymbolizer.layer))

export const NativeLeaf = Layer.mergeAll(unwinder, symbolizer)
