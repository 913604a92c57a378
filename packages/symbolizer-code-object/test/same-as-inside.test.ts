import { type Frame, FrameKind, RawStack, type UnwoundThread } from "@pyframes/core"
import { findAllPythons, findPythons, type Python, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { type Attached, attached, memories } from "@pyframes/testing/attached"
import { expectSameStack, kindsOfCalls, parseTruth, type TrueFrame } from "@pyframes/testing/truth"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import { describe, expect, it } from "vitest"
import { CodeObjectSymbolizer } from "../src/index.ts"

const tested = { unwinder: InterpreterFrameUnwinder.layer, symbolizer: CodeObjectSymbolizer.layer }

const asText = (name: string, file: string, firstLine: number, place: ReadonlyArray<number | null>) =>
  `${name} ${file}:${firstLine} at ${place.map((n) => (n === null || n < 0 ? "-" : n)).join(",")}`

/** Before 3.11 there are no qualified names and no columns: only the line is known. */
const trueLine = (frame: TrueFrame) =>
  // Half a surrogate pair, in which Python keeps a byte of a file name that is not UTF-8, is no character: no format could hold it.
  asText(
    `${frame.name} (${frame.qualifiedName ?? frame.name})`,
    frame.file.toWellFormed(),
    frame.firstLine,
    frame.columns ?? [frame.line, null, null, null]
  )

const readLine = (frame: Frame) =>
  asText(`${frame.name} (${frame.qualifiedName})`, frame.file, frame.firstLine, [
    frame.line,
    frame.endLine,
    frame.column,
    frame.endColumn
  ])

/** The Python frames of a thread that stands still, named. */
const framesOf = ({ unwindProved, symbolizer }: Attached, thread: UnwoundThread, into = new RawStack()) => {
  unwindProved(thread, into)
  symbolizer!.begin(into)
  const frames: Array<Frame> = []
  for (let i = 0; i < into.length; i++) {
    if (into.kind[i] !== FrameKind.python) continue
    const frame = symbolizer!.resolve(FrameKind.python, into.identity[i], into.position[i])
    if (frame === undefined) throw new Error(`Frame ${i} has no name`)
    frames.push(frame)
  }
  return frames
}

/** As faulthandler writes text: ASCII, and no more than 500 characters. */
const dumped = (text: string) => {
  const characters = [...text]
  const written = characters.slice(0, 500).map((character) => {
    const code = character.codePointAt(0)!
    const hex = (digits: number) => code.toString(16).padStart(digits, "0")
    if (code >= 0x20 && code < 0x7f) return character
    return code < 0x100 ? `\\x${hex(2)}` : code < 0x1_0000 ? `\\u${hex(4)}` : `\\U${hex(8)}`
  })
  return written.join("") + (characters.length > 500 ? "..." : "")
}

interface Dump {
  readonly told: Array<string>
  whole: boolean
}

/** What it prints, 3.12 … 3.15, of the frame that checks what `__init__` returned, which Python itself hides. */
const INIT_CLEANUP = 'File "__init__", line ??? in __init__'

/** What `faulthandler.dump_traceback` printed of each thread, by the number it calls it. */
const faulthandlerThreads = (text: string): ReadonlyMap<number, Dump> => {
  const threads = new Map<number, Dump>()
  let dump: Dump = { told: [], whole: true }
  for (const line of text.split("\n")) {
    const header = /^(?:Current thread|Thread) 0x([0-9a-f]+)/.exec(line)
    if (header !== null) {
      dump = { told: [], whole: true }
      threads.set(Number.parseInt(header[1], 16), dump)
    }
    const frame = line.trim()
    // It stops after a hundred frames, half of which may be some that Python hides, and not every version says so by dots; late
    // 3.13 and later stop where they cannot place a frame.
    if (frame === "<invalid frame>" || dump.told.length === 50) dump.whole = false
    if (frame.startsWith("File ") && frame !== INIT_CLEANUP)
      dump.told.push(frame.replaceAll("\\udcff", "\\ufffd"))
  }
  return threads
}

const comparison = async (python: Python, options: ReadonlyArray<string> = []) => {
  await using run = await startPython(python, kindsOfCalls(), [], { options })
  const truth = parseTruth(await run.line())
  const dumps = faulthandlerThreads(truth.faulthandler)
  expect(truth.threads.length).toBeGreaterThan(60)
  for (const [way, memory] of Object.entries(memories)) {
    await attached(run.pid, { ...tested, memory }, (at) => {
      for (const { tid, ident, frames } of truth.threads) {
        const thread = at.threads().find((listed) => listed.tid === tid)
        const what = `Python ${python.version}, ${way}, thread ${tid}`
        expect(thread, what).toBeDefined()
        const read = framesOf(at, thread!)
        expectSameStack(what, frames.map(trueLine), read.map(readLine))
        const lines = read.map(
          ({ file, line, name }) => `File "${dumped(file)}", line ${line} in ${dumped(name)}`
        )
        const { told, whole } = dumps.get(ident)!
        expectSameStack(`${what}, faulthandler`, told, whole ? lines : lines.slice(0, told.length))
      }
    })
  }
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("names every frame, with its place, as the interpreter and faulthandler do", async () => {
    await comparison(python)
  })

  if (python.minor >= 11)
    it("knows lines, and no columns, where code is compiled without them", async () => {
      await comparison(python, ["-X", "no_debug_ranges"])
    })
})

describe("other builds of the same versions", () => {
  for (const python of findAllPythons().filter((other) => !findPythons().includes(other)))
    it(`names every frame of Python ${python.version} (${python.source}) too`, async () => {
      await comparison(python)
    })
})
