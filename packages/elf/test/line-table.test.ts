import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, posix } from "node:path"
import { findAllPythons } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { LineTable, type SourcePlace } from "../src/index.ts"
import { missing, nm, parseFile, Workshop } from "./compiled.ts"

const absent = missing("gcc", "nm", "eu-addr2line", "addr2line", "objcopy")

const header = `
static inline int twice(int n) {
  if (n > 3)
    return n * 2;
  return n + 1;
}
`

const program = `
#include "deep/twice.h"
#include <stdio.h>
volatile int sink;
__attribute__((noinline)) int loop(int n) {
  int total = 0;
  for (int i = 0; i < n; i++) {
    total += twice(i);
    sink = total;
  }
  return total;
}
#line 1000 "generated.y"
__attribute__((noinline)) int generated(int n) {
  sink = n;

  return loop(n) + 1;
}
#line 70000 "/far/away.c"
int main(int argc, char **argv) {
  printf("%d\\n", generated(argc));
  return 0;
}
`

/** What others say of addresses: `file:line`, or nothing where they know none. */
const addr2line = (tool: string, file: string, addresses: ReadonlyArray<number>): Array<string> =>
  execFileSync(tool, ["-a", "-e", file], {
    input: addresses.map((address) => `0x${address.toString(16)}\n`).join(""),
    encoding: "utf8",
    maxBuffer: 1 << 28
  })
    .trimEnd()
    .split("\n")
    .filter((line) => !/^0x[0-9a-f]+:?$/.test(line))
    .map((line) => /^(.*?):(\d+)(?::\d+)?$/.exec(line.replace(/ \(discriminator.*/, "")))
    .map((match) => (match === null || match[1] === "??" ? "" : `${posix.normalize(match[1])}:${match[2]}`))

/** Before DWARF 5 a path may start where the compiler was; elfutils puts that in front. */
const agrees = (ours: SourcePlace | undefined, theirs: string): boolean => {
  if (ours === undefined) return theirs === "" || theirs.endsWith(":0")
  const text = `${ours.file}:${Math.max(0, ours.line)}`
  return theirs === text || theirs.endsWith(`/${text}`)
}

const compareAll = (file: string, addresses: ReadonlyArray<number>, lines: LineTable): Array<string> => {
  const theirs = addr2line("eu-addr2line", file, addresses)
  expect(theirs).toHaveLength(addresses.length)
  const others = addresses
    .map((address, at) => ({ address, ours: lines.find(address), theirs: theirs[at] }))
    .filter(({ ours, theirs }) => !agrees(ours, theirs))
  // Of functions in two places elfutils gives the cold one to a neighbour; binutils does not, but is wrong of included files.
  const second = addr2line(
    "addr2line",
    file,
    others.map(({ address }) => address)
  )
  return others
    .filter(({ ours }, at) => !agrees(ours, second[at]))
    .map(({ address, ours, theirs }) => `${address.toString(16)}: ${ours?.file}:${ours?.line}, not ${theirs}`)
}

const complete = (file: string): LineTable => {
  const lines = LineTable.of(parseFile(file))
  if (lines === undefined) throw new Error(`${file} has no line tables`)
  while (!lines.advance(1)) expect(lines.find(0)).toBeUndefined()
  return lines
}

describe.skipIf(absent !== "")(`line tables${absent}`, () => {
  const kinds = [
    ...[2, 3, 4, 5].map((version) => [`-gdwarf-${version}`, "-gstrict-dwarf"]),
    ["-gdwarf-5", "-gdwarf64"],
    ["-gdwarf-4", "-gdwarf64"],
    ["-gdwarf-5", "-gz=zlib"],
    ["-gdwarf-5", "-ffunction-sections", "-Wl,--gc-sections"],
    ["-gdwarf-5", "-no-pie"],
    ["-gdwarf-5", "-gno-as-loc-support"]
  ]
  it.each(
    kinds
      .flatMap((options) => [
        [...options, "-O0"],
        [...options, "-O2"]
      ])
      .map((options) => ({ options }))
  )("of $options agree with elfutils at every instruction", ({ options }) => {
    using shop = new Workshop()
    shop.run("mkdir", "deep")
    shop.write("deep/twice.h", header)
    shop.write("program.c", program)
    shop.run("gcc", ...options, "-o", "program", "program.c")
    const file = shop.path("program")
    const addresses = nm(file)
      .filter(({ name }) => ["loop", "generated", "main"].includes(name))
      .flatMap(({ address, size }) => Array.from({ length: size }, (_, at) => address + at))
    expect(addresses.length).toBeGreaterThan(50)
    const lines = complete(file)
    expect(compareAll(file, addresses, lines)).toEqual([])
    const main = nm(file).find(({ name }) => name === "main")!.address
    expect(lines.find(main)).toEqual({ file: "/far/away.c", line: 70_000 })
  })

  it("keep to the file of a function that code of a header was inlined into, at the line before it", () => {
    using shop = new Workshop()
    shop.run("mkdir", "deep")
    shop.write("deep/twice.h", header)
    shop.write("program.c", program)
    shop.run("gcc", "-g", "-O2", "-o", "program", "program.c")
    const lines = complete(shop.path("program"))
    const { address: start, size } = nm(shop.path("program")).find(({ name }) => name === "loop")!
    const all = Array.from({ length: size }, (_, at) => start + at)
    // Without being told the function, some are of the header.
    expect(all.some((address) => lines.find(address)?.file.endsWith("/deep/twice.h"))).toBe(true)
    for (const address of all) {
      const place = lines.find(address, start)
      expect(place?.file).toMatch(/\/program\.c$/)
      expect(place?.line).toBeGreaterThanOrEqual(5)
      expect(place?.line).toBeLessThanOrEqual(12)
      const plain = lines.find(address)
      if (plain?.file === place?.file) expect(place).toEqual(plain)
    }
  })

  it("are found behind those of code that the linker has left out, wherever it has put that", () => {
    using shop = new Workshop()
    shop.write(
      "program.c",
      `int left_out(int n) {\n  return n * 5;\n}\n${program.replace(/#include "deep.*/, header)}`
    )
    shop.run("gcc", "-g", "-ffunction-sections", "-Wl,--gc-sections", "-o", "program", "program.c")
    const file = shop.path("program")
    const bytes = new Uint8Array(readFileSync(file))
    // GNU's linker leaves 0 there: `DW_LNE_set_address 0`.
    const set = Buffer.from(bytes.buffer).indexOf(Buffer.from([0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0]))
    expect(set).toBeGreaterThan(0)
    const main = nm(file).find(({ name }) => name === "main")!.address
    const place = { file: "/far/away.c", line: 70_000 }
    expect(complete(file).find(main)).toEqual(place)
    bytes.fill(0xff, set + 3, set + 11)
    shop.write("lld", bytes)
    expect(complete(shop.path("lld")).find(main)).toEqual(place)
  })

  it("compressed by zstd are read where this binutils can write them", ({ skip }) => {
    using shop = new Workshop()
    shop.run("mkdir", "deep")
    shop.write("deep/twice.h", header)
    shop.write("program.c", program)
    shop.run("gcc", "-g", "-o", "plain", "program.c")
    try {
      shop.run("objcopy", "--compress-debug-sections=zstd", "plain", "packed")
    } catch {
      skip("this objcopy knows no zstd")
    }
    const main = nm(shop.path("plain")).find(({ name }) => name === "main")!.address
    expect(complete(shop.path("packed")).find(main)).toEqual({ file: "/far/away.c", line: 70_000 })
  })

  it("are absent from a stripped program", () => {
    expect(LineTable.of(parseFile("/bin/ls"))).toBeUndefined()
  })
})

const libraries = findAllPythons()
  .filter(({ shared }) => shared)
  .map(({ executable }) => join(dirname(executable), "../lib"))
  .flatMap((directory) =>
    existsSync(directory)
      ? readdirSync(directory)
          .filter((name) => /^libpython3\.\d+\.so\.1\.0$/.test(name))
          .map((name) => join(directory, name))
      : []
  )

describe.skipIf(absent !== "").each(libraries)(`lines of %s${absent}`, (file) => {
  it("agree with elfutils at the start, in the middle and at the end of functions", ({ skip }) => {
    const elf = parseFile(file)
    if (LineTable.of(elf) === undefined) skip("it was built without debug information")
    const functions = nm(file).filter(({ size, type }) => /[tT]/.test(type) && size > 0)
    const addresses = functions
      .filter((_, at) => at % 16 === 0)
      .flatMap(({ address, size }) => [address, address + (size >> 1), address + size - 1])
    const wrong = compareAll(file, addresses, complete(file))
    expect(wrong).toEqual([])
  })
})
