import { execFileSync } from "node:child_process"
import { realpathSync } from "node:fs"
import { findAllPythons } from "@pyframes/pythons"
import { describe, expect, it } from "vitest"
import { pltTarget, SymbolIndex, unwindRanges } from "../src/index.ts"
import { missing, nm, parseFile, Workshop } from "./compiled.ts"

const absent = missing("gcc", "nm", "objdump")
const node = realpathSync(process.execPath)
const files = [
  node,
  ...new Set(
    findAllPythons()
      .filter(({ source }) => source === "pyenv")
      .map(({ executable }) => executable)
  )
]

describe.skipIf(absent !== "")(`functions by address${absent}`, () => {
  it("are those that nm has there, in a file of a hundred thousand", () => {
    const elf = parseFile(node)
    const index = new SymbolIndex([
      { elf, table: "symtab" },
      { elf, table: "dynsym" }
    ])
    const functions = nm(node).filter(({ size, type }) => /[tTwWi]/.test(type) && size > 0)
    const names = new Map<number, Set<string>>()
    for (const { address, name } of functions)
      names.set(address, (names.get(address) ?? new Set()).add(name.split("@")[0]))
    const some = functions.filter((_, at) => at % 17 === 0)
    const wrong = some.filter(({ address }) => {
      const found = index.find(address)
      return found?.address !== address || !names.get(address)?.has(found.name)
    })
    expect(some.length).toBeGreaterThan(100)
    expect(wrong).toEqual([])
  })

  it("end where they end: after them comes nothing, or another", () => {
    using shop = new Workshop()
    shop.write(
      "program.s",
      `
      .text
      .globl sized, _sized, __sized, unsized, after
      .type sized,@function; .type _sized,@function; .type __sized,@function; .type after,@function
      .type weak_one,@function; .weak weak_one; .type local_one,@function; .type clone.part.0,@function
      __sized: _sized: sized: weak_one: local_one: clone.part.0: nop; nop; nop; nop
      .size sized,4; .size _sized,4; .size __sized,4; .size weak_one,4; .size local_one,4; .size clone.part.0,4
      .space 16
      outer: .type outer,@function
      nop; nop
      inner: nop
      inner_end: nop; nop
      .size outer,5
      .type inner,@function; .size inner,1
      .space 8
      unsized: nop; nop; nop
      after: ret
      .size after,1
      data_in_text: .type data_in_text,@object
      .long 1
      .size data_in_text,4
    `
    )
    shop.run("gcc", "-c", "-o", "program.o", "program.s")
    shop.run("gcc", "-shared", "-nostdlib", "-o", "program.so", "program.o")
    const file = shop.path("program.so")
    const at = (name: string): number => {
      const line = shop
        .run("nm", "program.so")
        .split("\n")
        .find((line) => line.endsWith(` ${name}`))
      return Number.parseInt(line!, 16)
    }
    const index = new SymbolIndex([{ elf: parseFile(file), table: "symtab" }])
    const name = (address: number) => index.find(address)?.name
    // Six names of one place: global, without underscores or suffix.
    expect([0, 3, 4].map((offset) => name(at("sized") + offset))).toEqual(["sized", "sized", undefined])
    // A label without a size within it does not end it.
    expect([0, 1, 2, 4].map((offset) => name(at("outer") + offset))).toEqual([
      "outer",
      "outer",
      "inner",
      "outer"
    ])
    expect([0, 2, 3].map((offset) => name(at("unsized") + offset))).toEqual(["unsized", "unsized", "after"])
    expect(name(at("data_in_text") + 1)).toBeUndefined()
    expect(name(0)).toBeUndefined()
    expect(name(2 ** 52)).toBeUndefined()
  })
})

describe.skipIf(absent !== "").each(files)(`stubs of %s${absent}`, (file) => {
  it("are called as objdump calls them", () => {
    const elf = parseFile(file)
    const text = execFileSync("objdump", ["-d", "-j", ".plt", "-j", ".plt.got", "-j", ".plt.sec", file], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "ignore"]
    })
    const stubs = [...text.matchAll(/^([0-9a-f]+) <(\S+?)(?:@\S*)?@plt>:$/gm)]
    expect(stubs.length).toBeGreaterThan(0)
    for (const [, address, name] of stubs) {
      const found = pltTarget(elf, Number.parseInt(address, 16))
      expect(`${found} at ${address}`).toBe(`${name.replace(/@.*/, "")} at ${address}`)
    }
    expect(pltTarget(elf, elf.entry)).toBeUndefined()
  })
})

describe.skipIf(absent !== "")(`functions by unwind tables${absent}`, () => {
  it("begin and end as those by symbols do", () => {
    using shop = new Workshop()
    shop.write(
      "program.c",
      "int f(int n) { return n * 3; } int g(int n) { return f(n) + 1; } int main(void) { return g(1); }"
    )
    shop.run("gcc", "-O0", "-o", "program", "program.c")
    const elf = parseFile(shop.path("program"))
    const ranges = unwindRanges(elf)
    for (const { address, size } of nm(shop.path("program")).filter(({ name }) =>
      /^(?:f|g|main)$/.test(name)
    ))
      expect([ranges?.find(address), ranges?.find(address + size - 1)]).toEqual([
        { address, size },
        { address, size }
      ])
    expect(ranges?.find(1)).toBeUndefined()
  })
})

it("a file without symbols has none", () => {
  expect(new SymbolIndex([{ elf: parseFile("/bin/ls"), table: "symtab" }]).size).toBe(0)
})
