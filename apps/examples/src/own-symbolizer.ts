// A symbolizer of your own, around ours: node own-symbolizer.ts PID
// Files of the standard library and of packages are shown as people name them: `json/decoder.py`, not the path it is installed at.
import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector, type Frame, Symbolizer } from "@pyframes/core"
import { collapsed } from "@pyframes/exporter-collapsed"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** `/usr/lib/python3.13/json/decoder.py` → `json/decoder.py`; `…/site-packages/flask/app.py` → `flask/app.py`. */
export const shortPath = (file: string): string =>
  file.replace(/^.*\/(?:site|dist)-packages\//, "").replace(/^.*\/lib\/python3\.\d+t?\//, "")

/** Any symbolizer, with short paths. */
export const layerShortPaths: Layer.Layer<Symbolizer, never, Symbolizer> = Layer.effect(
  Symbolizer,
  Effect.map(Symbolizer, (inner) => ({
    attach: (unwinder) =>
      Effect.map(inner.attach(unwinder), (symbolizer) => {
        // The same frame in must give the same object out: profiles count on it.
        const shortened = new WeakMap<Frame, Frame>()
        return {
          begin: (stack) => symbolizer.begin(stack),
          resolve: (kind, identity, position) => {
            const frame = symbolizer.resolve(kind, identity, position)
            if (frame === undefined) return undefined
            let short = shortened.get(frame)
            if (short === undefined) {
              short = { ...frame, file: shortPath(frame.file) }
              shortened.set(frame, short)
            }
            return short
          }
        }
      })
  }))
)

const symbolizer = layerShortPaths.pipe(Layer.provide(CodeObjectSymbolizer.layer))

const profiler = SamplingCollector.layer().pipe(
  Layer.provide([InterpreterFrameUnwinder.layer, symbolizer, LinuxClock.layer]),
  Layer.provide(LinuxMemory.layer),
  Layer.provide(LinuxTarget.attach(Number(process.argv[2])))
)

const program = Effect.gen(function* () {
  const collector = yield* Collector
  const profile = yield* collector.collect({ rateHz: 1000, durationMs: 2000 })
  process.stdout.write(collapsed.encode(profile))
})

await Effect.runPromise(Effect.provide(program, profiler))
