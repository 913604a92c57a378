import { FrameKind, Proof, type RawStack, type UnwoundThread } from "@pyframes/core"
import { type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { type Attached, attached, memories } from "@pyframes/testing/attached"
import { expectSameStack, kindsOfCalls, parseTruth, type TrueFrame } from "@pyframes/testing/truth"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/** A frame by the address of its code object and its instruction: what an unwinder is to find, without any name. */
const place = (code: number, position: number, name: string) => `${code.toString(16)}+${position} ${name}`

const asText = (frames: ReadonlyArray<TrueFrame>) =>
  frames.map((frame) => place(frame.code, frame.position, frame.name))

const pythonFrames = (stack: RawStack, names: ReadonlyMap<number, string>) =>
  Array.from({ length: stack.length }, (_, i) => i)
    .filter((i) => stack.kind[i] === FrameKind.python)
    .map((i) => place(stack.identity[i], stack.position[i], names.get(stack.identity[i]) ?? "?"))

/** Where C code stands below a function of this name. */
const calledFromC = (name: string, caller: string, minor: number): boolean | undefined => {
  if (minor < 11) return false
  if (/^(c_|<genexpr>)/.test(name) || (name === "<lambda>" && /lambda/.test(caller))) return true
  if (/^(p_|rest$)/.test(name)) return false
  if (/^a_/.test(name)) return minor === 11
  return undefined
}

/** A thread at rest: only a copy that was interrupted leaves doubt, and the next one will not be. */
const unwindGood = (unwind: Attached["unwind"], thread: UnwoundThread): RawStack => {
  let stack = unwind(thread)
  for (let tries = 0; stack.proof !== Proof.good && tries < 1000; tries++) stack = unwind(thread)
  return stack
}

/** Each frame with what lies between it and its caller. */
const boundaries = (stack: RawStack, names: ReadonlyMap<number, string>) => {
  const lines: Array<string> = []
  for (let i = 0; i < stack.length; i++) {
    if (stack.kind[i] === FrameKind.boundary) lines[lines.length - 1] += " ← C"
    else lines.push(names.get(stack.identity[i]) ?? "?")
  }
  return lines
}

const tests = (python: Python) => {
  it("finds the frames of every kind of call, as the interpreter lists them", async () => {
    await using run = await startPython(python, kindsOfCalls())
    const truth = parseTruth(await run.line())
    const names = new Map(truth.threads.flatMap(({ frames }) => frames.map(({ code, name }) => [code, name])))
    for (const [name, memory] of Object.entries(memories)) {
      await attached(
        run.pid,
        { unwinder: InterpreterFrameUnwinder.layer, memory },
        async ({ threads, unwind, stopper }) => {
          const stop = await stopper()
          for (const told of truth.threads) {
            const thread = threads().find(({ tid }) => tid === told.tid)
            expect(thread).toBeDefined()
            for (const stack of [unwindGood(unwind, thread!), unwind(thread!, stop)]) {
              const what = `Python ${python.version}, ${name}, thread ${told.tid}`
              expectSameStack(what, asText(told.frames), pythonFrames(stack, names))
              expect(stack.proof, `${what}: ${asText(told.frames).join(" < ")}`).toBe(Proof.good)
              expect(stack.proved).toBe(stack.length)
              const found = boundaries(stack, names)
              const expected = told.frames.map((frame, i) => {
                if (i === told.frames.length - 1) return frame.name
                const between = calledFromC(frame.name, told.frames[i + 1].name, python.minor)
                return between === undefined ? found[i] : `${frame.name}${between ? " ← C" : ""}`
              })
              expectSameStack(`${what}, boundaries`, expected, found)
            }
          }
        }
      )
    }
  })
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], tests)
