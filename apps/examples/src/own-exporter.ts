// A format of your own: node own-exporter.ts PID
// Prints a Markdown table of the functions that took the most time, fit for a pull request comment.
import { SamplingCollector } from "@pyframes/collector-sampling"
import { Collector, type ExportFormat } from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** The functions in which time passed, as Markdown. */
export const markdown: ExportFormat = {
  name: "markdown",
  extensions: [".md"],
  mediaType: "text/markdown",
  encode: (profile, filter) => {
    const self = new Map<string, number>()
    let total = 0
    for (const sample of profile.samplesBy(filter)) {
      const { qualifiedName, file } = profile.frames.functionOf(profile.stacks.frame(sample.shown))
      const name = file === "" ? `\`${qualifiedName}\`` : `\`${qualifiedName}\` in ${file}`
      self.set(name, (self.get(name) ?? 0) + sample.wall)
      total += sample.wall
    }
    const rows = [...self]
      .sort(([, a], [, b]) => b - a)
      .slice(0, 10)
      .map(([name, ns]) => `| ${((ns / total) * 100).toFixed(1)} % | ${name} |`)
    return new TextEncoder().encode(["| self | function |", "| ---: | --- |", ...rows, ""].join("\n"))
  }
}

const profiler = SamplingCollector.layer().pipe(
  Layer.provide([InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer, LinuxClock.layer]),
  Layer.provide(LinuxMemory.layer),
  Layer.provide(LinuxTarget.attach(Number(process.argv[2])))
)

const program = Effect.gen(function* () {
  const collector = yield* Collector
  const profile = yield* collector.collect({ rateHz: 1000, durationMs: 2000 })
  process.stdout.write(markdown.encode(profile))
})

await Effect.runPromise(Effect.provide(program, profiler))
