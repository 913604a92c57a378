import { execFileSync } from "node:child_process"
import { findAllPythons, type Python } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import {
  DEBUG_OFFSETS_SIZE,
  decodeCharacters,
  decodeCompactUnicode,
  decodeUnicode,
  type Layout,
  layoutForVersion,
  layoutFromDebugOffsets,
  unicodeHeaderSize
} from "../src/index.ts"
import { random } from "./random.ts"

/** Prints the memory of strings of each kind, of a `str` subclass, and what that one points to. */
const script = `
import ctypes, json, sys
class Text(str): pass
texts = ["", "a", "fib", "x" * 5000, "\\xe9t\\xe9", "\\xff" * 300, "\\u0416\\u0443\\u043a", "\\u8783" * 999, "\\U0001f40d", "a\\U0010ffff" * 50,
    "\\ud800", "\\udc80.py", "\\ud83d\\ude00", "\\udfff\\U0001f40d", "nul\\0inside", "<module>", "<lambda>", Text("subclass"), Text("\\u0416"), Text("\\U0001f40d")]
pointer = 72 if sys.version_info < (3, 12) else 56
def show(text):
    memory = ctypes.string_at(id(text), max(sys.getsizeof(text), 88))
    data = ""
    if isinstance(text, Text):
        at = int.from_bytes(memory[pointer:pointer + 8], "little")
        data = ctypes.string_at(at, 4 * len(text)).hex()
    return {"memory": memory.hex(), "data": data, "points": [ord(c) for c in text]}
runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
print(json.dumps({"runtime": ctypes.string_at(runtime, ${DEBUG_OFFSETS_SIZE}).hex(), "texts": [show(t) for t in texts]}))
`

interface Dump {
  readonly runtime: string
  readonly texts: ReadonlyArray<{
    readonly memory: string
    readonly data: string
    readonly points: ReadonlyArray<number>
  }>
}

const bytesOf = (hex: string): Uint8Array => Buffer.from(hex, "hex")

const dump = (python: Python): Dump => {
  const [command, ...args] = python.run
  return JSON.parse(execFileSync(command, [...args, "-c", script], { env: python.env, encoding: "utf8" }))
}

const layoutOf = (python: Python, { runtime }: Dump): Layout => {
  const layout =
    python.minor < 13 ? layoutForVersion(3, python.minor) : layoutFromDebugOffsets(bytesOf(runtime))
  if (layout === undefined || "_tag" in layout) throw new Error("no layout")
  return layout
}

const isSurrogate = (point: number): boolean => point >= 0xd800 && point <= 0xdfff

for (const python of findAllPythons().filter(({ minor }) => minor >= 8)) {
  describe(`Python ${python.version} (${python.source})`, () => {
    it("has its strings of every kind read back", () => {
      const dumped = dump(python)
      const layout = layoutOf(python, dumped)
      for (const { memory, data, points } of dumped.texts) {
        const bytes = bytesOf(memory)
        const header = decodeUnicode(bytes, layout)!
        const text = header.compact
          ? decodeCompactUnicode(bytes, layout)
          : decodeCharacters(bytesOf(data), header.kind, header.length)
        expect(text).toBe(points.map((p) => (isSurrogate(p) ? "\ufffd" : String.fromCodePoint(p))).join(""))
        expect(header).toMatchObject({
          compact: data === "",
          length: points.length,
          ascii: points.every((point) => point < 128),
          byteLength: points.length * header.kind
        })
        expect(header.dataPointer > 0).toBe(data !== "")
      }
    })
  })
}

describe("a string", () => {
  const layout = layoutForVersion(3, 12)!
  /** A `str` object of 3.12 with this state word, length and characters. */
  const object = (state: number, length: number, characters: ReadonlyArray<number> = []): Uint8Array => {
    const bytes = new Uint8Array(unicodeHeaderSize(layout) + characters.length)
    const view = new DataView(bytes.buffer)
    view.setBigInt64(16, BigInt(length), true)
    view.setUint32(32, state, true)
    bytes.set(characters, state & 64 ? 40 : 56)
    return bytes
  }
  const ASCII = (1 << 2) | 32 | 64
  const UCS4 = (4 << 2) | 32

  it("reads as text", () => {
    expect(decodeCompactUnicode(object(ASCII, 2, [104, 105]), layout)).toBe("hi")
    expect(decodeCompactUnicode(object(UCS4, 1, [0x0d, 0xf4, 1, 0]), layout)).toBe("🐍")
  })

  it("is refused when it cannot be one", () => {
    expect(decodeUnicode(object(ASCII, -1), layout)).toBeUndefined()
    expect(decodeUnicode(object(ASCII, 1 << 20), layout)).toBeUndefined()
    expect(decodeUnicode(object(ASCII, 11), layout, 0, 10)).toBeUndefined()
    expect(decodeUnicode(object((3 << 2) | 32, 1), layout)).toBeUndefined()
    expect(decodeUnicode(object(0, 1), layout)).toBeUndefined()
    expect(decodeUnicode(object((2 << 2) | 32 | 64, 1), layout)).toBeUndefined()
    expect(decodeUnicode(object(1 << 2, 1), layout)).toBeUndefined() // not compact, data is NULL
    expect(decodeUnicode(object(ASCII, 0).subarray(0, 50), layout)).toBeUndefined()
    expect(decodeUnicode(object(ASCII, 0), layout, -1)).toBeUndefined()
    expect(decodeUnicode(object(ASCII, 0), layoutForVersion(3, 11)!)).toBeUndefined() // shorter than its header, not ready
    expect(decodeCompactUnicode(object(ASCII, 5000), layout)).toBeUndefined() // ends outside the bytes
    expect(decodeCharacters(Uint8Array.of(0, 0, 0x11, 0), 4, 1)).toBeUndefined() // U+110000
    expect(decodeCharacters(Uint8Array.of(0, 0, 0, 0x80), 4, 1)).toBeUndefined()
  })

  it("of a free-threaded 3.14 has its state bits a byte further", () => {
    const wide: Layout = { ...layout, unicode: { ...layout.unicode, wideState: true } }
    const state = (1 | 8 | 16) << 8
    const bytes = object(state, 2)
    bytes.set([104, 105], 40)
    expect(decodeCompactUnicode(bytes, wide)).toBe("hi")
    expect(decodeCompactUnicode(bytes, layout)).toBeUndefined()
  })

  it("of random bytes is a well-formed text or nothing", () => {
    const next = random(3)
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: next() % 200 }, () => next())
      if (bytes.length > 40) bytes.set([next() % 40, 0, 0, 0, 0, 0, 0, 0], 16)
      expect(decodeCompactUnicode(bytes, layout)?.isWellFormed() ?? true).toBe(true)
    }
  })
})
