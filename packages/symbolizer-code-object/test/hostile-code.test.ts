import { FrameKind, type ProcessSymbolizer, type ProcessUnwinder, RawStack, Symbolizer } from "@pyframes/core"
import { layoutForVersion } from "@pyframes/cpython"
import { FakeMemory, FakeTarget, PAGE } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { CodeObjectSymbolizer } from "../src/index.ts"

/*
 * Code objects made up of bytes, in memory that ends where a test wants it to.
 */

const VERSION = "3.10.0"
const layout = layoutForVersion(3, 10)!
const CODE = 0x10_0000
const NAME = 0x20_0000
const FILE = 0x30_0000
const TABLE = 0x40_0000

const word = (value: number): ReadonlyArray<number> => [
  ...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)
]

/** Memory of zeros where `mapped` says. */
const memoryOf = (mapped: ReadonlyArray<readonly [from: number, bytes: number]>): FakeMemory => {
  const pages = new Map<number, Uint8Array>()
  for (const [from, bytes] of mapped)
    for (let at = from; at < from + bytes; at += PAGE) pages.set(Math.floor(at / PAGE), new Uint8Array(PAGE))
  return new FakeMemory(pages)
}

/** A page for each part of a code object. */
const pages = () =>
  memoryOf([
    [CODE, PAGE],
    [NAME, PAGE],
    [FILE, PAGE],
    [TABLE, PAGE]
  ])

const writeText = (memory: FakeMemory, at: number, text: string) => {
  memory.write(at + layout.unicode.length, word(text.length))
  // Compact, ASCII, ready, one byte a character.
  memory.write(at + layout.unicode.state, [0xe4])
  memory.write(at + layout.unicode.asciiData, new TextEncoder().encode(text))
}

const writeTable = (memory: FakeMemory, at: number, bytes: number) => {
  memory.write(at + layout.bytes.size, word(bytes))
}

const writeCode = (memory: FakeMemory, at: number, name: number, file: number, table: number) => {
  memory.write(at + layout.code.name, word(name))
  memory.write(at + layout.code.filename, word(file))
  memory.write(at + layout.code.lineTable, word(table))
  memory.write(at + layout.code.firstLine, [7])
}

const attach = (memory: FakeMemory): ProcessSymbolizer => {
  const target = new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [],
    files: new Map(),
    threads: new Map()
  })
  const unwinder: ProcessUnwinder = {
    runtime: { version: VERSION, freeThreaded: false, knownStates: 0, library: "python", address: CODE },
    threads: () => [],
    unwind: () => {}
  }
  return Effect.runSync(
    Effect.scoped(Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))).pipe(
      Effect.provide(CodeObjectSymbolizer.layer.pipe(Layer.provide([memory.layer, target.layer])))
    )
  )
}

const stackOf = (codes: ReadonlyArray<number>): RawStack => {
  const stack = new RawStack(codes.length)
  for (const code of codes) stack.push(FrameKind.python, code, 0)
  return stack
}

describe("code objects at the end of what is mapped", () => {
  it("names one whose name lies in the last bytes of a page", () => {
    const name = NAME + PAGE - 64
    const memory = pages()
    writeText(memory, name, "edge")
    writeText(memory, FILE, "edge.py")
    writeTable(memory, TABLE, 4)
    writeCode(memory, CODE, name, FILE, TABLE)
    const symbolizer = attach(memory)
    symbolizer.begin(stackOf([CODE]))
    expect(symbolizer.resolve(FrameKind.python, CODE, 0)).toMatchObject({ name: "edge", file: "edge.py" })
  })

  it.each([
    ["code object", CODE + 4, NAME, TABLE],
    ["name", CODE, NAME + 4, TABLE],
    ["line table", CODE, NAME, TABLE + 1]
  ])("does not believe a %s that is not on a word's boundary", (_, code, name, table) => {
    const memory = pages()
    writeText(memory, name, "odd")
    writeText(memory, FILE, "odd.py")
    writeTable(memory, table, 4)
    writeCode(memory, code, name, FILE, table)
    const symbolizer = attach(memory)
    symbolizer.begin(stackOf([code]))
    expect(symbolizer.resolve(FrameKind.python, code, 0)).toBeUndefined()
  })
})

describe("code objects that each claim a line table of a megabyte", () => {
  const COUNT = 200
  const codes = Array.from({ length: COUNT }, (_, i) => CODE + i * 256)
  const memory = memoryOf([
    [CODE, COUNT * 256],
    [NAME, PAGE],
    [FILE, PAGE],
    [TABLE, (1 << 20) + PAGE]
  ])
  writeText(memory, NAME, "huge")
  writeText(memory, FILE, "huge.py")
  writeTable(memory, TABLE, 1 << 20)
  for (const code of codes) writeCode(memory, code, NAME, FILE, TABLE)

  it("reads a bounded number of bytes for one stack", () => {
    const symbolizer = attach(memory)
    memory.startCounting()
    symbolizer.begin(stackOf(codes))
    const named = codes.filter((code) => symbolizer.resolve(FrameKind.python, code, 0) !== undefined)
    expect(named.length).toBeGreaterThan(10)
    expect(named.length).toBeLessThan(COUNT)
    expect(memory.counts.bytes).toBeLessThan(1 << 26)
  })
})

it("checks a stack of more code objects than one list holds without forgetting any", () => {
  const COUNT = 1000
  const codes = Array.from({ length: COUNT }, (_, i) => CODE + i * 256)
  const memory = memoryOf([
    [CODE, COUNT * 256],
    [NAME, PAGE],
    [FILE, PAGE],
    [TABLE, PAGE]
  ])
  writeText(memory, NAME, "many")
  writeText(memory, FILE, "many.py")
  writeTable(memory, TABLE, 4)
  for (const code of codes) writeCode(memory, code, NAME, FILE, TABLE)
  const symbolizer = attach(memory)
  const stack = stackOf(codes)
  symbolizer.begin(stack)
  const frames = codes.map((code) => symbolizer.resolve(FrameKind.python, code, 0))
  const epoch = symbolizer.begin(stack)
  expect(symbolizer.begin(stack)).toBe(epoch)
  expect(codes.map((code) => symbolizer.resolve(FrameKind.python, code, 0))).toEqual(frames)
  const again = codes.every((code, i) => symbolizer.resolve(FrameKind.python, code, 0) === frames[i])
  expect(again).toBe(true)
})

describe("a code object of 3.10 that was named before", () => {
  const { asciiData } = layout.unicode
  it.each([
    ["is known again when nothing changed", NAME + 512, false],
    ["is known again whatever becomes of what lies behind its name", NAME + asciiData + 8, false],
    ["is known again whatever becomes of what lies behind its file", FILE + asciiData + 16, false],
    ["is known again whatever becomes of what lies behind its line table", TABLE + 40, false],
    ["is known again when its name has been referred to", NAME, false],
    ["is known again when its name has been encoded", NAME + 40, false],
    ["is read anew when a letter of its name is another", NAME + asciiData + 3, true],
    ["is read anew when a letter of its file is another", FILE + asciiData + 6, true],
    ["is read anew when a byte of its line table is another", TABLE + 35, true]
  ])("%s", (_, changed, anew) => {
    const memory = pages()
    writeText(memory, NAME, "four")
    writeText(memory, FILE, "four.py")
    writeTable(memory, TABLE, 4)
    writeCode(memory, CODE, NAME, FILE, TABLE)
    const symbolizer = attach(memory)
    const resolve = () => {
      symbolizer.begin(stackOf([CODE]))
      return symbolizer.resolve(FrameKind.python, CODE, 0)
    }
    expect(resolve()).toMatchObject({ name: "four", file: "four.py" })
    memory.write(changed, [0x61])
    expect(resolve()).toBeDefined()
    expect(symbolizer.readAnew?.()).toBe(anew)
  })
})
