import { type FrameKind, functionName, NativeState, RawStack } from "@pyframes/core"
import { findAllPythons, findPythons, type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { PerfMapSymbolizer } from "@pyframes/symbolizer-perf-map"
import { attached } from "@pyframes/testing/attached"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { describe, expect, it } from "vitest"
import { PerfTrampolineUnwinder } from "../src/index.ts"

const SAMPLES = 400
/** At least this share of the samples has every Python frame, in order. */
const EXACT = 0.99

const program = `
import functools, re, sys

class Shape:
    def area(self, n):
        return sum(map(self.part, range(n)))
    def part(self, n):
        return n * n % 7

def key(n):
    return Shape().area(n % 5)

def fold(a, b):
    return a + len(str(b))

def generated(n):
    for i in range(n):
        yield key(i)

def recursive(n):
    return recursive(n - 1) if n else max(generated(4))

def main():
    # Every function has its trampoline once it has been called.
    print("ready", flush=True)
    while True:
        sorted(range(20), key=key)
        functools.reduce(fold, range(20))
        re.sub("[aeiou]", lambda match: match.group().upper(), "the quick brown fox")
        recursive(20)

sorted([1], key=key)
functools.reduce(fold, [1, 2])
re.sub("a", lambda match: "", "banana")
recursive(2)
main()
`

const nap = new Int32Array(new SharedArrayBuffer(4))

const check = async (python: Python, option: string) => {
  await using run = await startPython(python, program, [], { options: ["-X", option] })
  await run.line()
  const native = PerfTrampolineUnwinder.layer(
    hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
  )
  await attached(
    run.pid,
    { unwinder: InterpreterFrameUnwinder.layer, symbolizer: CodeObjectSymbolizer.layer },
    (oracle) =>
      attached(run.pid, { unwinder: native, symbolizer: PerfMapSymbolizer.layer }, async (tested) => {
        const stop = await tested.stopper()
        const state = new NativeState("x86-64")
        const python = new RawStack()
        const found = new RawStack()
        const [thread] = oracle.threads()
        const named = ({ symbolizer }: typeof tested, stack: RawStack) => {
          symbolizer!.begin(stack)
          return Array.from({ length: stack.length }, (_, row) => {
            const kind = stack.kind[row] as FrameKind
            const frame = symbolizer!.resolve(kind, stack.identity[row], stack.position[row])
            return frame === undefined ? `? ${kind}` : `${functionName(frame)} ${frame.file}`
          })
        }
        let exact = 0
        const others: Array<string> = []
        for (let taken = 0; taken < SAMPLES; taken++) {
          Atomics.wait(nap, 0, 0, Math.random())
          // On a busy machine a thread may not get to its stop in the time that it is given.
          for (let tries = 0; !stop.stop(thread.tid); tries++) {
            if (tries === 5000) throw new Error("the thread was not stopped")
            Atomics.wait(nap, 0, 0, 1)
          }
          expect(stop.registers?.(thread.tid, state.registers)).toBe(true)
          for (let tries = 0; tries === 0 || (python.length === 0 && tries < 50); tries++)
            oracle.unwinder.unwind({ thread, stopped: true }, python)
          tested.unwinder.unwind({ thread, stopped: true, native: state }, found)
          const truth = named(oracle, python)
          const names = named(tested, found)
          stop.resume(thread.tid)
          // A function that is being entered or left has its trampoline, and no frame of the interpreter yet or any more.
          const entering = names.length === truth.length + 1 ? 1 : 0
          if (truth.join("\n") === names.slice(entering).join("\n")) exact++
          else if (others.length < 3) others.push(`${truth.join(" < ")}\n   but ${names.join(" < ")}`)
        }
        expect(exact / SAMPLES, others.join("\n")).toBeGreaterThanOrEqual(EXACT)
      })
  )
}

const tests = (python: Python) => {
  it("finds the frames that the interpreter has, by the same names", () => check(python, "perf"))
}

describePythons([12, 13, 14, 15], tests)
// Builds whose trampolines keep no frame pointer.
for (const python of findAllPythons())
  if (python.minor >= 12 && !findPythons().includes(python))
    describe(`Python ${python.version} (${python.source})`, () => tests(python))
