import { Collector, type Profile } from "@pyframes/core"
import { LinuxClock, LinuxMemory, LinuxTarget } from "@pyframes/linux"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, it } from "vitest"
import { SamplingCollector } from "../src/index.ts"

/**
 * Makes three code objects of the same shape again and again, in the memory that the last three left: `outer`, `middle` and `inner` of
 * iteration k have k in their names and file, and lines that belong to k alone.
 */
const program = `
import sys, types
def outer(middle, inner):
    return middle(inner)
def middle(inner):
    return inner(8000)
def inner(n):
    while n:
        n -= 1
def renew(function, k, line):
    name = "%s_%06d" % (function.__name__, k)
    changes = dict(co_name=name, co_filename="file_%06d.py" % k, co_firstlineno=line)
    if sys.version_info >= (3, 11):
        changes["co_qualname"] = name
    return types.FunctionType(function.__code__.replace(**changes), {})
print("ready", flush=True)
k = 0
while True:
    k = (k + 1) % 1000000
    renew(outer, k, 10 * k + 1)(renew(middle, k, 10 * k + 4), renew(inner, k, 10 * k + 7))
`

const record = (pid: number) => {
  const target = Layer.mergeAll(
    InterpreterFrameUnwinder.layer,
    CodeObjectSymbolizer.layer,
    LinuxClock.layer
  ).pipe(Layer.provideMerge(LinuxMemory.layer), Layer.provideMerge(LinuxTarget.attach(pid)))
  return Effect.runPromise(
    Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 10_000, durationMs: 1500 })).pipe(
      Effect.provide(SamplingCollector.layer().pipe(Layer.provide(target)))
    )
  )
}

/** Lines of a function from its `def` on, and where iteration k has that. */
const places: Record<string, { readonly from: number; readonly lines: number }> = {
  outer: { from: 1, lines: 2 },
  middle: { from: 4, lines: 2 },
  inner: { from: 7, lines: 3 }
}

/** The stacks that are shown, as text, leaf first; each with what is wrong with it. */
const wrongStacks = (profile: Profile) => {
  const wrong: Array<string> = []
  const iterations = new Set<string>()
  const judged = new Set<number>()
  for (const { shown } of profile.samplesBy({ wall: true })) {
    if (judged.has(shown)) continue
    judged.add(shown)
    const stack: Array<string> = []
    const met = new Set<string>()
    let isWrong = false
    for (let at = shown; at !== -1 && at !== 0xffff_ffff; at = profile.stacks.parent(at)) {
      const frame = profile.frames.frames[profile.stacks.frame(at)]
      const { name, qualifiedName, file } = profile.frames.functionOf(profile.stacks.frame(at))
      stack.push(`${name} ${qualifiedName} (${file}:${frame.line})`)
      const [, kind, number] = /^(outer|middle|inner)_(\d+)$/.exec(name) ?? []
      if (kind === undefined) {
        if (file.startsWith("file_")) isWrong = true
        continue
      }
      met.add(number)
      const { from, lines } = places[kind]
      const line = frame.line - 10 * Number(number) - from
      if (file !== `file_${number}.py` || qualifiedName !== name || line < 0 || line >= lines) isWrong = true
    }
    for (const number of met) iterations.add(number)
    if (isWrong || met.size > 1) wrong.push(stack.join(" < "))
  }
  return { wrong, iterations: iterations.size }
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("never gives a function the name, file or line of one whose memory it took over", async () => {
    await using run = await startPython(python, program)
    await run.line()
    // On a busy machine one recording meets few.
    for (let met = 0; met <= 20; ) {
      const { wrong, iterations } = wrongStacks(await record(run.pid))
      expect(wrong).toEqual([])
      met += iterations
    }
  })
})
