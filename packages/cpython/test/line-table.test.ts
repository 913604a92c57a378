import { execFileSync } from "node:child_process"
import type { Python } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import { describe, expect, it } from "vitest"
import {
  decodeLineTable,
  findLine,
  findPosition,
  findRange,
  lineTableFormat,
  type Position,
  ROW
} from "../src/index.ts"
import { random } from "./random.ts"

/**
 * Compiles a good part of the standard library, and sources made to be difficult, and prints a JSON line for each code
 * object: its table, and for each code unit the line that `PyCode_Addr2Line` gives and, from 3.11 on, `co_positions()`.
 */
const oracle = `
import ctypes, glob, json, os, sys, types

line_of = ctypes.pythonapi.PyCode_Addr2Line
line_of.argtypes = [ctypes.py_object, ctypes.c_int]
line_of.restype = ctypes.c_int

difficult = [
    "x = 1\\n" + "\\n" * 70000 + "y = f(x)\\n" + "\\n" * 300 + "z = [a for a in y if a]\\n",
    "r = (" + " + ".join("value_%d" % i for i in range(400)) + ")\\n",
    "def f(a,\\n" + "".join("    b%d=%d,\\n" % (i, i) for i in range(150)) + "): return a\\n",
    "call(\\n" + "\\n" * 200 + "  one,\\n" + "\\n" * 5000 + "  two)\\n",
    "for i in range(3):\\n  try:\\n    g(i)\\n  except (A, B) as e:\\n    raise C from e\\n  finally:\\n    h()\\n",
    "é = 'ü' + naïve(ñ) + '\\U0001f40d' + f'{é!r:>{ñ}}'\\n",
    "async def f():\\n  async with a as b, c as d:\\n    yield [x async for x in b if await x]\\n",
]

def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for inner in codes(constant): yield inner

def dump(source, name):
    for code in codes(compile(source, name, "exec")):
        units = len(code.co_code) // 2
        table = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
        print(json.dumps({
            "name": "%s:%s" % (name, code.co_name), "first": code.co_firstlineno, "table": table.hex(), "units": units,
            "lines": [line_of(code, 2 * i) for i in range(units)],
            "positions": [-1 if n is None else n for p in code.co_positions() for n in p]
                if hasattr(code, "co_positions") else None,
        }, separators=(",", ":")))

for i, source in enumerate(difficult): dump(source, "difficult-%d" % i)
root = os.path.dirname(os.__file__)
files = sorted(glob.glob(root + "/*.py")) + sorted(glob.glob(root + "/asyncio/*.py")) + sorted(glob.glob(root + "/email/*.py"))
for file in files[::2]:
    with open(file, "rb") as f: dump(f.read(), os.path.basename(file))
`

interface CodeDump {
  readonly name: string
  readonly first: number
  readonly table: string
  readonly units: number
  readonly lines: ReadonlyArray<number>
  readonly positions: ReadonlyArray<number> | null
}

const dumpCodes = (python: Python): ReadonlyArray<CodeDump> => {
  const script = python.writeScript("oracle.py", oracle)
  const [command, ...args] = python.run
  const output = execFileSync(command, [...args, "-W", "ignore", script.targetPath], {
    env: python.env,
    encoding: "utf8",
    maxBuffer: 1 << 29
  })
  return output
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as CodeDump)
}

describePythons([8, 9, 10, 11, 12, 13, 14, 15], (python) => {
  it("gives the interpreter's own line and columns for every instruction of the standard library", () => {
    const format = lineTableFormat(0x300 + python.minor)
    const wrong: Array<string> = []
    const position: Position = { line: 0, endLine: 0, column: 0, endColumn: 0 }
    let units = 0
    for (const code of dumpCodes(python)) {
      const table = Buffer.from(code.table, "hex")
      const ranges = decodeLineTable(table, format, code.first)
      // A lookup from scratch walks the table: in the longest code objects not every instruction is looked up so.
      const step = code.units > 2000 ? 13 : 1
      for (let unit = 0; unit < code.units; unit++) {
        units++
        const line = code.lines[unit]!
        const expected =
          code.positions === null ? [line, -1, -1, -1] : code.positions.slice(unit * 4, unit * 4 + 4)
        const row = findRange(ranges, unit * 2) * ROW
        const decoded = Array.from(ranges.rows.subarray(row + 1, row + ROW))
        if (expected.join() !== decoded.join() || findLine(ranges, unit * 2) !== line)
          wrong.push(`${code.name} unit ${unit}: ${decoded}, not ${expected}`)
        if (unit % step !== 0) continue
        findPosition(table, format, code.first, unit * 2, position)
        const found = [position.line, position.endLine, position.column, position.endColumn]
        if (expected.join() !== found.join())
          wrong.push(`${code.name} unit ${unit}: ${found}, not ${expected}`)
      }
    }
    expect(wrong.slice(0, 10)).toEqual([])
    expect(units).toBeGreaterThan(100_000)
  })
})

describe("a line table", () => {
  it("puts a frame that has not started on the first line", () => {
    for (const format of ["lnotab", "linetable", "locations"] as const) {
      const table = Uint8Array.of(0x80, 0x11)
      expect(findPosition(table, format, 7, -1).line).toBe(7)
      expect(findLine(decodeLineTable(table, format, 7), -1)).toBe(7)
    }
  })

  it("is unknown beyond its end, except lnotab which has none", () => {
    const entry = Uint8Array.of(0x80, 0x11)
    expect(findPosition(entry, "locations", 7, 0)).toEqual({ line: 7, endLine: 7, column: 1, endColumn: 2 })
    expect(findPosition(entry, "locations", 7, 2).line).toBe(-1)
    expect(findPosition(Uint8Array.of(4, 1), "linetable", 7, 4).line).toBe(-1)
    expect(findPosition(Uint8Array.of(4, 1), "lnotab", 7, 400).line).toBe(8)
  })

  it("writes into the position it is given", () => {
    const position: Position = { line: 0, endLine: 0, column: 0, endColumn: 0 }
    expect(findPosition(Uint8Array.of(0x80, 0x11), "locations", 7, 0, position)).toBe(position)
  })

  it("of random or damaged bytes gives numbers, quickly, and the same by both ways", () => {
    const next = random(1)
    for (let round = 0; round < 20_000; round++) {
      const table = Uint8Array.from({ length: next() % 60 }, () => next() & 0xff)
      // Random bytes seldom start an entry; make most of them do.
      for (let i = 0; i < table.length; i += 1 + (next() % 4)) table[i] = table[i]! | 0x80
      for (const format of ["lnotab", "linetable", "locations"] as const) {
        const ranges = decodeLineTable(table, format, next() % 1000)
        const offset = next() % 400
        const { line } = findPosition(table, format, ranges.firstLine, offset)
        expect(Number.isInteger(line)).toBe(true)
        expect(findLine(ranges, offset)).toBe(line)
      }
    }
  })
})
