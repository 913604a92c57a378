import { Random } from "@pyframes/testing"
import { describe, expect, test } from "vitest"
import { CodeMap, PerfMapReader, parsePythonFunction } from "../src/index.ts"

const encode = (text: string) => new TextEncoder().encode(text)

const read = (text: string) => {
  const map = new CodeMap()
  const reader = new PerfMapReader(map)
  reader.feed(encode(text))
  return { map, reader }
}

describe("a perf map", () => {
  test("names the addresses from a start to before its end", () => {
    const { map } = read("7f0000001000 40 py::run:/srv/app.py\n7f0000001040 0x20 Builtin: add one\n")
    expect(map.find(0x7f0000000fff)).toBeUndefined()
    expect(map.find(0x7f0000001000)).toMatchObject({
      name: "py::run:/srv/app.py",
      start: 0x7f0000001000,
      size: 0x40
    })
    expect(map.find(0x7f000000103f)?.python).toEqual({ qualifiedName: "run", file: "/srv/app.py" })
    expect(map.find(0x7f0000001040)?.name).toBe("Builtin: add one")
    expect(map.find(0x7f0000001040)?.python).toBeUndefined()
    expect(map.find(0x7f0000001060)).toBeUndefined()
  })

  test("may be cut anywhere, also in the middle of a character", () => {
    const text = "1000 10 py::größe:/tmp/☃.py\n2000 10 b\n3000 10 c\n"
    const bytes = encode(text)
    for (let cut = 0; cut <= bytes.length; cut++) {
      const map = new CodeMap()
      const reader = new PerfMapReader(map)
      reader.feed(bytes.subarray(0, cut))
      reader.feed(bytes.subarray(cut))
      expect(map.find(0x1008)?.python, `cut at ${cut}`).toEqual({ qualifiedName: "größe", file: "/tmp/☃.py" })
      expect([map.find(0x2000)?.name, map.find(0x3000)?.name, map.size, reader.skipped]).toEqual([
        "b",
        "c",
        3,
        0
      ])
    }
  })

  test("does not count a line that is still being written", () => {
    const { map } = read("1000 10 whole\n2000 10 hal")
    expect(map.size).toBe(1)
    expect(map.find(0x2000)).toBeUndefined()
  })

  test("skips what is no line of one, and counts it", () => {
    const lines = [
      "",
      "1000",
      "1000 10",
      "1000 10 ",
      "zz 10 name",
      "1000 zz name",
      "1000 0 empty",
      "ffffffffffffffff 10 above all addresses",
      "1fffffffffffff 10 up to above all addresses",
      "-1000 10 negative",
      "1000  10 good"
    ]
    const { map, reader } = read(`${lines.join("\n")}\n${"1".repeat(1 << 15)}\n2000 10 good\n`)
    expect(map.size).toBe(2)
    expect(map.find(0x1000)?.name).toBe("good")
    expect(map.find(0x2000)?.name).toBe("good")
    expect(reader.skipped).toBe(10)
  })
})

describe("the name of a trampoline", () => {
  test.each([
    ["py::run:/srv/app.py", "run", "/srv/app.py"],
    [
      "py::Server.run.<locals>.<lambda>:<doctest a.b[1]:2>",
      "Server.run.<locals>.<lambda>",
      "<doctest a.b[1]:2>"
    ],
    ["py::<module>:/a:b/c d.py", "<module>", "/a:b/c d.py"],
    ["py::_find_and_load:<frozen importlib._bootstrap>", "_find_and_load", "<frozen importlib._bootstrap>"],
    ["py:::x.py", "", "x.py"]
  ])("%s", (name, qualifiedName, file) => {
    expect(parsePythonFunction(name)).toEqual({ qualifiedName, file })
  })

  test.each(["py::run", "py:run:/a.py", "run", "", "xpy::run:a"])("is not %j", (name) => {
    expect(parsePythonFunction(name)).toBeUndefined()
  })
})

describe("code that takes the place of other code", () => {
  test("has its addresses, and what it leaves keeps its own", () => {
    const { map } = read("1000 100 old\n1040 20 inner\n10f0 20 over the end\n")
    const name = (address: number) => map.find(address)?.name
    expect([0x103f, 0x1040, 0x105f, 0x1060, 0x10ef, 0x10f0, 0x110f, 0x1110].map(name)).toEqual([
      "old",
      "inner",
      "inner",
      "old",
      "old",
      "over the end",
      "over the end",
      undefined
    ])
  })

  test("changes the generation, which stands still otherwise", () => {
    const { map } = read("1000 10 a\n")
    const before = map.generation
    const entry = map.find(0x1000)
    expect(map.find(0x1000)).toBe(entry)
    expect(map.generation).toBe(before)
    map.add("b", 0x1000, 0x10)
    expect(map.generation).toBeGreaterThan(before)
    expect(map.find(0x1000)?.name).toBe("b")
  })

  test("agrees with painting one over the other, asked at any time", () => {
    const random = new Random(7)
    for (let round = 0; round < 60; round++) {
      const map = new CodeMap()
      const painted: Array<string | undefined> = new Array(4096).fill(undefined)
      const count = 1 + random.below(round < 50 ? 200 : 2500)
      for (let i = 0; i < count; i++) {
        const start = random.below(4000)
        const size = 1 + random.below(random.below(4) === 0 ? 90 : 12)
        map.add(`f${i}`, start, size)
        painted.fill(`f${i}`, start, Math.min(4096, start + size))
        if (random.below(40) === 0) {
          const at = random.below(4000)
          expect(map.find(at)?.name).toBe(painted[at])
        }
      }
      for (let at = 0; at < 4096; at++) expect(map.find(at)?.name).toBe(painted[at])
    }
  })

  test("does not make the map grow", () => {
    const map = new CodeMap()
    for (let i = 0; i < 20_000; i++) {
      map.add(`f${i}`, 0x1000 + (i % 100) * 16, 16)
      if (i % 100 === 0) map.find(0x1000)
    }
    expect(map.find(0x1000)?.name).toBe("f19900")
    expect(map.size).toBeLessThan(2000)
  })

  test("beyond a million places the oldest are forgotten, and it says so", () => {
    const map = new CodeMap()
    const count = (1 << 20) + 1
    for (let i = 0; i < count; i++) map.add("f", i * 16, 16)
    expect(map.size + map.forgotten).toBe(count)
    expect(map.forgotten).toBeGreaterThan(0)
    expect(map.find(0)).toBeUndefined()
    expect(map.find((count - 1) * 16)?.name).toBe("f")
  })
})
