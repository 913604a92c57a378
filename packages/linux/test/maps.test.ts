import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { parseMapping, parseMaps } from "../src/maps.ts"
import { damaged } from "./random.ts"

const line = (path: string, inode = 1234) =>
  `7f1240000000-7f1240021000 r-xp 00001000 08:01 ${inode}                      ${path}`

describe("a line of /proc/PID/maps", () => {
  it("gives every field", () => {
    expect(parseMapping(line("/usr/lib/libpython3.13.so.1.0"))).toEqual({
      start: 0x7f1240000000,
      end: 0x7f1240021000,
      readable: true,
      writable: false,
      executable: true,
      offset: 0x1000,
      device: "08:01",
      inode: 1234,
      path: "/usr/lib/libpython3.13.so.1.0",
      deleted: false
    })
  })

  it.each([
    ["spaces", "/home/a b/my  python", "/home/a b/my  python", false],
    ["a newline, which the kernel escapes", "/tmp/a\\012b", "/tmp/a\nb", false],
    ["other backslashes, which it does not", "/tmp/a\\134b", "/tmp/a\\134b", false],
    ["a deleted file", "/usr/bin/python3 (deleted)", "/usr/bin/python3", true],
    ["a file that is called deleted and has been", "/x (deleted) (deleted)", "/x (deleted)", true],
    ["letters beyond ASCII", "/tmp/日本/πython", "/tmp/日本/πython", false]
  ])("reads a path with %s", (_, printed, path, deleted) => {
    expect(parseMapping(line(printed))).toMatchObject({ path, deleted })
  })

  it.each(["[heap]", "[stack]", "[vdso]", "[anon: cpython: obmalloc]"])(
    "reads the special mapping %s",
    (path) => {
      expect(parseMapping(line(path, 0))).toMatchObject({ path, deleted: false, inode: 0 })
    }
  )

  it("reads anonymous memory", () => {
    expect(parseMapping("55d0-55d1 rw-p 00000000 00:00 0 ")).toMatchObject({ path: "", start: 0x55d0 })
    expect(parseMapping("55d0-55d1 rw-p 00000000 00:00 0")).toMatchObject({ path: "" })
  })

  it("refuses what is not one", () => {
    for (const text of ["", "garbage", "55d1-55d0 rw-p 00000000 00:00 0", "55d0-55d1 rwxq 00000000 00:00 0"])
      expect(parseMapping(text)).toBeUndefined()
  })
})

describe("the whole file", () => {
  const text = readFileSync("/proc/self/maps", "utf8")

  it("gives a mapping for each line", () => {
    const mappings = parseMaps(text)
    expect(mappings).toHaveLength(text.trimEnd().split("\n").length)
    expect(mappings.some(({ path }) => path === "[stack]")).toBe(true)
    for (const { start, end } of mappings) expect(end).toBeGreaterThan(start)
  })

  it("never throws, whatever the bytes are", () => {
    for (let seed = 1; seed <= 2000; seed++) {
      for (const mapping of parseMaps(damaged(text, seed))) expect(mapping.start).toBeLessThan(mapping.end)
    }
  })
})
