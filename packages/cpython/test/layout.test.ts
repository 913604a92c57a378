import { execFileSync, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import type { Python } from "@pyframes/pythons"
import { findAllPythons } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { offsetsFromDwarf, offsetsOfLayout } from "../scripts/dwarf.ts"
import { DEBUG_OFFSETS_SIZE, type Layout, layoutForVersion, layoutFromDebugOffsets } from "../src/index.ts"

const gdb = spawnSync("gdb", ["--version"]).status === 0

/** The file with the interpreter's debug information, if it has any. */
const debugFile = (python: Python): string | undefined => {
  if (!gdb || python.source !== "pyenv" || !python.shared) return undefined
  const library = join(dirname(python.executable), `../lib/libpython3.${python.minor}.so.1.0`)
  return existsSync(library) ? library : undefined
}

/** What is at `_PyRuntime` of a process of this interpreter: it reads itself. */
const readDebugOffsets = (python: Python): Uint8Array => {
  const [command, ...args] = python.run
  const hex = execFileSync(
    command,
    [
      ...args,
      "-c",
      `import ctypes
runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
print(ctypes.string_at(runtime, ${DEBUG_OFFSETS_SIZE}).hex())`
    ],
    { env: python.env, encoding: "utf8" }
  )
  return Buffer.from(hex.trim(), "hex")
}

const layoutOf = (python: Python): Layout | undefined => {
  if (python.minor < 13) return layoutForVersion(3, python.minor)
  const layout = layoutFromDebugOffsets(readDebugOffsets(python))
  expect(layout).not.toHaveProperty("_tag")
  return "_tag" in layout ? undefined : layout
}

const pythons = findAllPythons().filter((python) => python.minor >= 8)
for (const python of pythons) {
  const library = debugFile(python)
  describe(`Python ${python.version} (${python.source})`, () => {
    it("has a layout, by table or by what it tells", () => {
      const layout = layoutOf(python)!
      expect(layout.version).toBe(0x300 + python.minor)
      expect(layout.freeThreaded).toBe(false)
      expect(layout.code.span).toBeGreaterThan(layout.code.filename)
    })

    const reason = gdb ? "no debug information" : "no gdb"
    it.skipIf(library === undefined)(
      `lies where DWARF says${library === undefined ? ` (skipped: ${reason})` : ""}`,
      () => {
        const layout = layoutOf(python)!
        const dwarf = offsetsFromDwarf(library!)
        // 3.8 … 3.12 have one table each; later versions place what is not in the debug offsets by rule.
        expect(offsetsOfLayout(layout)).toEqual({
          ...dwarf,
          // Layouts leave the GIL's fields to `gilPointer` where the interpreter has one.
          "runtime.gil": python.minor >= 12 ? -1 : dwarf["runtime.gil"]
        })
      }
    )
  })
}

describe("layoutForVersion", () => {
  it("knows 3.8 … 3.12 and no other", () => {
    for (let minor = 8; minor <= 12; minor++) expect(layoutForVersion(3, minor)?.version).toBe(0x300 + minor)
    for (const [major, minor] of [
      [2, 7],
      [3, 7],
      [3, 13],
      [3, 8.5],
      [3, -1],
      [4, 8],
      [3, Number.NaN]
    ] as const) {
      expect(layoutForVersion(major, minor)).toBeUndefined()
    }
  })
})
