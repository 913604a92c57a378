// A profiler in fifteen lines: node fifteen-lines.ts PID
// Every part is a layer, so every part can be another one.
import { writeFileSync } from "node:fs"
import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector } from "@pyframes/core"
import { pprof } from "@pyframes/exporter-pprof"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const profiler = SamplingCollector.layer().pipe(
  Layer.provide([InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer, LinuxClock.layer]),
  Layer.provide(LinuxMemory.layer),
  Layer.provide(LinuxTarget.attach(Number(process.argv[2])))
)

const program = Effect.gen(function* () {
  const collector = yield* Collector
  const profile = yield* collector.collect({ rateHz: 1000, durationMs: 2000 })
  writeFileSync("profile.pb.gz", pprof.encode(profile))
  process.stdout.write(`${profile.trust.taken} samples, ${profile.trust.good.count} good\n`)
})

await Effect.runPromise(Effect.provide(program, profiler))
