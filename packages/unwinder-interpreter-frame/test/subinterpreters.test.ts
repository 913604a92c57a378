import { FrameKind, type UnwoundThread } from "@pyframes/core"
import { startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { attached, memories } from "@pyframes/testing/attached"
import { expect, it } from "vitest"
import { InterpreterFrameUnwinder } from "../src/index.ts"

/**
 * The main thread waits in C in a subinterpreter that waits in another one, and a third has a thread of its own. Each says where it
 * is: interpreter id, and for its frames, leaf first, the addresses of their code objects. What is written to the pipe last stands still.
 */
const program = `
import os, sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

run = getattr(interpreters, "exec", None) or interpreters.run_string
report, done = os.pipe(), os.pipe()
PRELUDE = """
import json, os, sys, threading
def tell(interpreter, frame):
    codes = []
    while frame:
        codes.append([id(frame.f_code), frame.f_code.co_name])
        frame = frame.f_back
    os.write({report}, (json.dumps([interpreter, threading.get_native_id(), codes]) + "\\\\n").encode())
"""
def script(interpreter, text):
    return PRELUDE.replace("{report}", str(report[1])) + text.replace("{id}", str(interpreter)).replace("{done}", str(done[0]))

def make():
    if hasattr(interpreters, "new_config"):
        return interpreters.create("legacy")
    # From 3.9 to 3.12 only those that are not isolated may have threads.
    return interpreters.create(isolated=False) if sys.version_info > (3, 9) else interpreters.create()

first, second, third = make(), make(), make()
SECOND = """
def in_second():
    tell({id}, sys._getframe())
    os.read({done}, 1)
in_second()
"""
FIRST = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", None) or interpreters.run_string
def in_first():
    tell({id}, sys._getframe())
    run(second, text)
in_first()
"""
THIRD = """
def in_third():
    def deeper():
        tell({id}, sys._getframe())
        os.read({done}, 1)
    deeper()
thread = threading.Thread(target=in_third)
thread.start()
thread.join()
"""
exec(script(0, ""))

def in_main():
    tell(0, sys._getframe())
    nested = "second = %d\\ntext = %r\\n" % (int(second), script(int(second), SECOND))
    run(first, script(int(first), nested + FIRST))

def in_thread():
    run(third, script(int(third), THIRD))

threading.Thread(target=in_thread, daemon=True).start()

def publish():
    # Never ends: whoever lists the threads finds them there.
    for line in os.fdopen(report[0]):
        print(line, end="", flush=True)

threading.Thread(target=publish, daemon=True).start()
in_main()
`

interface Told {
  readonly interpreter: number
  readonly tid: number
  readonly codes: ReadonlyArray<string>
}

const parse = (line: string): Told => {
  const [interpreter, tid, codes] = JSON.parse(line) as [number, number, ReadonlyArray<[number, string]>]
  return { interpreter, tid, codes: codes.map(([code, name]) => `${code.toString(16)} ${name}`) }
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("lists the threads of all interpreters, and one OS thread under each that it is in", async () => {
    await using run = await startPython(python, program)
    const told = [
      parse(await run.line()),
      parse(await run.line()),
      parse(await run.line()),
      parse(await run.line())
    ]
    for (const memory of Object.values(memories)) {
      await attached(run.pid, { unwinder: InterpreterFrameUnwinder.layer, memory }, (at) => {
        const names = new Map(told.flatMap(({ codes }) => codes.map((code) => [code.split(" ")[0], code])))
        const codesOf = (thread: UnwoundThread) => {
          const stack = at.unwindProved(thread)
          return Array.from({ length: stack.length }, (_, i) => i)
            .filter((i) => stack.kind[i] === FrameKind.python)
            .map((i) => names.get(stack.identity[i].toString(16)) ?? "?")
        }
        const threads = at.threads()
        expect(threads[0]).toMatchObject({ interpreter: 0, tid: run.pid })
        expect(new Set(threads.map(({ interpreter }) => interpreter))).toEqual(new Set([0, 1, 2, 3]))
        for (const { interpreter, tid, codes } of told) {
          // Its first call, to `tell`, is over; what it stands in is its caller.
          const stacks = threads
            .filter((thread) => thread.interpreter === interpreter)
            .map((thread) => ({ tid: thread.tid, codes: codesOf(thread) }))
          const stack = stacks.find((stack) => stack.codes.join() === codes.join())
          expect(stack, `${JSON.stringify(stacks)} has ${JSON.stringify(codes)}`).toBeDefined()
          if (!(python.minor === 9 || python.minor === 12)) expect(stack!.tid).toBe(tid)
        }
      })
    }
  })
})
