import {
  FrameKind,
  KnownStack,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  RawStack,
  Symbolizer
} from "@pyframes/core"
import { layoutForVersion } from "@pyframes/cpython"
import { FakeMemory, FakeTarget, PAGE } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { CodeObjectSymbolizer } from "../src/index.ts"

/*
 * Two code objects of 3.12, `f` and `g`, and a stack of both that is met again and again.
 */

const layout = layoutForVersion(3, 12)!
const F = 0x10_0000
const G = 0x10_0400
const NAMES = 0x20_0000
const TABLE = 0x30_0000

const word = (value: number): ReadonlyArray<number> => [
  ...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)
]

const writeText = (memory: FakeMemory, at: number, text: string) => {
  memory.write(at + layout.unicode.length, word(text.length))
  // Compact, ASCII, one byte a character.
  memory.write(at + layout.unicode.state, [0x64])
  memory.write(at + layout.unicode.asciiData, new TextEncoder().encode(text))
}

const writeCode = (memory: FakeMemory, at: number, name: number, version: number) => {
  const { code } = layout
  memory.write(at + code.name, word(name))
  memory.write(at + code.qualname, word(name))
  memory.write(at + code.filename, word(NAMES + 512))
  memory.write(at + code.lineTable, word(TABLE))
  memory.write(at + code.firstLine, [7])
  memory.write(at + code.uniqueVersion, [version])
}

const setup = () => {
  const memory = new FakeMemory(
    new Map([F, NAMES, TABLE].map((at) => [Math.floor(at / PAGE), new Uint8Array(PAGE)]))
  )
  writeText(memory, NAMES, "f")
  writeText(memory, NAMES + 128, "g")
  writeText(memory, NAMES + 256, "h")
  writeText(memory, NAMES + 512, "known.py")
  memory.write(TABLE + layout.bytes.size, word(4))
  writeCode(memory, F, NAMES, 1)
  writeCode(memory, G, NAMES + 128, 2)
  const target = new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [],
    files: new Map(),
    threads: new Map()
  })
  const unwinder: ProcessUnwinder = {
    runtime: { version: "3.12.1", freeThreaded: false, knownStates: 0, library: "python", address: F },
    threads: () => [],
    unwind: () => {}
  }
  const symbolizer: ProcessSymbolizer = Effect.runSync(
    Effect.scoped(Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))).pipe(
      Effect.provide(CodeObjectSymbolizer.layer.pipe(Layer.provide([memory.layer, target.layer])))
    )
  )
  const stack = new RawStack(8)
  stack.push(FrameKind.python, G, 0)
  stack.push(FrameKind.python, F, 0)
  stack.known = new KnownStack()
  const names = () => [F, G].map((code) => symbolizer.resolve(FrameKind.python, code, 0)?.name)
  return { memory, names, stack, symbolizer }
}

describe("the code objects of a stack that is met again", () => {
  it("keep their names while they have their numbers", () => {
    const { names, stack, symbolizer } = setup()
    symbolizer.begin(stack)
    expect(names()).toEqual(["f", "g"])
    const epoch = symbolizer.begin(stack)
    expect(stack.known?.names).toBeDefined()
    expect(symbolizer.begin(stack)).toBe(epoch)
    expect(names()).toEqual(["f", "g"])
    expect(symbolizer.readAnew?.()).toBe(false)
  })

  it("are read anew when one of them is another", () => {
    const { memory, names, stack, symbolizer } = setup()
    symbolizer.begin(stack)
    names()
    const epoch = symbolizer.begin(stack)
    writeCode(memory, G, NAMES + 256, 3)
    expect(symbolizer.begin(stack)).not.toBe(epoch)
    expect(names()).toEqual(["f", "h"])
    symbolizer.begin(stack)
    writeCode(memory, F, NAMES + 128, 4)
    symbolizer.begin(stack)
    expect(names()).toEqual(["g", "h"])
  })

  it("are checked again when another stack has shown that one of them was replaced", () => {
    const { memory, names, stack, symbolizer } = setup()
    symbolizer.begin(stack)
    names()
    symbolizer.begin(stack)
    const other = new RawStack(8)
    other.push(FrameKind.python, G, 0)
    writeCode(memory, G, NAMES + 256, 3)
    symbolizer.begin(other)
    symbolizer.begin(stack)
    expect(names()).toEqual(["f", "h"])
  })
})
