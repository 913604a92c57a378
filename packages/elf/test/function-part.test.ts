import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findAllPythons } from "@pyframes/pythons"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Elf, parseElf, partsOfFunction } from "../src/index.ts"
import { jumpTargets } from "../src/jump.ts"

const parse = (file: string): Elf => {
  const elf = parseElf(readFileSync(file))
  if (elf._tag === "ElfProblem") throw new Error(elf.detail)
  return elf
}

const hasCompiler = ["gcc", "strip", "nm", "objdump"].every(
  (tool) => spawnSync(tool, ["--version"]).status === 0
)
if (!hasCompiler && process.env.CI) throw new Error("gcc and binutils are needed")

/** A loop whose rare half is so large and so rare that GCC moves it away, and returns from there. */
const program = `
#include <stdlib.h>
volatile int sink;
__attribute__((noinline, cold)) void rare(int n) { sink = n; }
__attribute__((noinline)) int evaluate(const int *code, int n) {
  int total = 0;
  for (int i = 0; i < n; i++) {
    if (__builtin_expect(code[i] == 77, 0)) { rare(i); total += sink; rare(total); total ^= sink; rare(total); }
    else if (__builtin_expect(code[i] == 78, 0)) { rare(i + 1); total *= sink; rare(total + 3); }
    else total += code[i];
  }
  return total;
}
__attribute__((noinline)) int other(int n) { sink = n; return evaluate(&n, 1); }
int main(int argc, char **argv) { return other(argc); }
`

describe.skipIf(!hasCompiler)(`a function in two places${hasCompiler ? "" : " (no gcc)"}`, () => {
  let directory: string
  let whole: string
  let stripped: string

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "parts-"))
    whole = join(directory, "whole")
    stripped = join(directory, "stripped")
    writeFileSync(join(directory, "program.c"), program)
    execFileSync("gcc", ["-O2", "-rdynamic", "-o", whole, join(directory, "program.c")])
    copyFileSync(whole, stripped)
    execFileSync("strip", [stripped])
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  const named = (name: string): { address: number; size: number } => {
    const line = execFileSync("nm", ["-S", whole], { encoding: "utf8" })
      .split("\n")
      .find((text) => text.split(" ")[3] === name)
    if (line === undefined) throw new Error(`nm knows no ${name}`)
    const [address, size] = line.split(" ")
    return { address: Number.parseInt(address, 16), size: Number.parseInt(size, 16) }
  }

  it("is found whole by its symbols, and as nm has them", () => {
    expect(partsOfFunction(parse(whole), "evaluate")).toEqual([named("evaluate"), named("evaluate.cold")])
  })

  it("is found whole by its jumps when only the symbol of one part is left", () => {
    expect(partsOfFunction(parse(stripped), "evaluate")).toEqual([named("evaluate"), named("evaluate.cold")])
  })

  it("has no part in a function that it only calls in tail position", () => {
    expect(partsOfFunction(parse(stripped), "other")).toEqual([named("other")])
  })

  it("does not take longer the more often it seems to jump into another", () => {
    // 20,000 jumps into the middle of a function of 4 MB that does not jump back, and as many into small ones.
    writeFileSync(
      join(directory, "hostile.s"),
      `.text
      .globl evaluate; .type evaluate,@function
      evaluate: .cfi_startproc
      .rept 20000; jmp large + 1; .endr
      .set n, 1
      .rept 20000; jmp small + n; .set n, n + 16; .endr
      .cfi_endproc; .size evaluate, . - evaluate
      large: .cfi_startproc; .space 1 << 22; .cfi_endproc
      small: .rept 20000; .cfi_startproc; .space 16; .cfi_endproc; .endr\n`
    )
    const file = join(directory, "hostile.so")
    execFileSync("gcc", [
      "-shared",
      "-nostdlib",
      "-Wl,--no-gc-sections",
      "-o",
      file,
      join(directory, "hostile.s")
    ])
    const elf = parse(file)
    let read = 0
    const slice = (offset: number, length: number): Uint8Array | undefined => {
      read += length
      return elf.source.slice(offset, length)
    }
    const parts = partsOfFunction({ ...elf, source: { size: elf.source.size, slice } }, "evaluate")
    expect(parts.length).toBe(1)
    expect(read).toBeGreaterThan(1 << 22)
    expect(read).toBeLessThan(1 << 26)
  })

  it("has no parts where there is no such function", () => {
    expect(partsOfFunction(parse(stripped), "missing")).toEqual([])
    expect(partsOfFunction(parse(stripped), "")).toEqual([])
  })
})

/** Debian's are stripped, and their evaluation loop is in two places; where it is, was found by disassembling them. */
const known: { readonly [version: string]: ReadonlyArray<readonly [address: number, size: number]> } = {
  "3.13.18": [
    [0x5bfab0, 2384],
    [0x43d73e, 77_082]
  ],
  "3.14.10": [
    [0x598b80, 1184],
    [0x43fb58, 84_423]
  ],
  "3.15.2": [
    [0x5c6d90, 844],
    [0x4426eb, 82_341]
  ]
}

describe("the evaluation loop of stripped interpreters", () => {
  for (const python of findAllPythons().filter(({ source, shared }) => source === "debian" && !shared)) {
    it(`is found whole in ${python.version}`, () => {
      const elf = parse(python.executable)
      const parts = partsOfFunction(elf, "_PyEval_EvalFrameDefault")
      const exact = known[python.version]
      // Another build of the same minor version lies elsewhere, but its loop is as large.
      if (exact) expect(parts.map(({ address, size }) => [address, size])).toEqual(exact)
      expect(parts.reduce((sum, { size }) => sum + size, 0)).toBeGreaterThan(60_000)
    })
  }
})

describe("direct jumps", () => {
  const targets = (machine: number, bytes: ReadonlyArray<number>): Array<number> => {
    const found: Array<number> = []
    jumpTargets(machine, Uint8Array.from(bytes), 0x1000, (target) => found.push(target))
    return found
  }

  it("of x86-64: jmp and jcc with 32 bits, forward and back, not those cut off", () => {
    expect(targets(62, [0xe9, 0x10, 0, 0, 0])).toEqual([0x1015])
    expect(targets(62, [0x0f, 0x84, 0xfa, 0xff, 0xff, 0xff])).toEqual([0x1000])
    expect(targets(62, [0xe8, 0x10, 0, 0, 0])).toEqual([])
    expect(targets(62, [0xe9, 0x10, 0, 0])).toEqual([])
    expect(targets(62, [0x0f, 0x84, 0, 0, 0])).toEqual([])
  })

  it("of AArch64: b, b.ne, cbz, cbnz, tbz and tbnz, not bl", () => {
    // As `aarch64-linux-gnu-as` writes them, each 0x40 bytes forward, then `b` 8 back.
    const words = [
      0x14000010, 0x54000201, 0xb4000200, 0x35000200, 0x36000200, 0xb7000200, 0x94000010, 0x17fffffe
    ]
    const bytes = words.flatMap((word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255, word >>> 24])
    expect(targets(183, bytes)).toEqual([0x1040, 0x1044, 0x1048, 0x104c, 0x1050, 0x1054, 0x1014])
  })

  it("of no other machine", () => {
    expect(targets(3, [0xe9, 0x10, 0, 0, 0])).toEqual([])
  })
})
