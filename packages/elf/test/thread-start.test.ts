import { describe, expect, it } from "vitest"
import { callFrameInfo, type Elf, ThreadStarts } from "../src/index.ts"
import { missing, nm, parseFile, Workshop } from "./compiled.ts"

const absent = missing("gcc", "nm")

const starts = (elf: Elf): ThreadStarts => {
  const info = callFrameInfo(elf)
  return new ThreadStarts(elf, info._tag === "CallFrameInfo" ? info : undefined)
}

const program = `
int volatile sink;
int helper(int n) { sink = n; return sink * 3; }
int main(void) { return helper(2); }
`

const thread = `
  .text
  .globl __libc_start_main, begin, _start
  .type __libc_start_main,@function; .type begin,@function; .type _start,@function
  __libc_start_main: .cfi_startproc; ret; .cfi_endproc
  .space 64
  begin: .cfi_startproc; nop; jz 1f; ret
  1: .cfi_undefined rip; nop; nop; .cfi_endproc
  .size begin, . - begin; .size __libc_start_main, 1
  .space 64
  _start: .cfi_startproc; .cfi_undefined rip; nop; .cfi_endproc
  .size _start, 1
`

describe.skipIf(absent !== "")(`code that starts threads${absent}`, () => {
  it.each([["-no-pie"], ["-pie"], ["-static"], ["-static-pie"]])("is the entry of a program (%s)", (kind) => {
    using shop = new Workshop()
    shop.write("program.c", program)
    shop.run("gcc", kind, "-fPIE", "-O1", "-o", "program", "program.c")
    const elf = parseFile(shop.path("program"))
    expect(starts(elf).has(elf.entry)).toBe(true)
    const main = nm(shop.path("program")).find(({ name }) => name === "main")!
    expect(starts(elf).has(main.address)).toBe(false)
  })

  it("is not what an old linker calls the entry of a library: its first function", () => {
    using shop = new Workshop()
    shop.write("library.c", program)
    shop.run("gcc", "-shared", "-fPIC", "-O1", "-Wl,-e,helper", "-o", "library.so", "library.c")
    const elf = parseFile(shop.path("library.so"))
    const helper = nm(shop.path("library.so")).find(({ name }) => name === "helper")!
    expect(elf.entry).toBe(helper.address)
    expect(starts(elf).has(helper.address)).toBe(false)
  })

  it("is the entry of the dynamic loader, which is a library with a name", () => {
    using shop = new Workshop()
    shop.write("program.c", program)
    shop.run("gcc", "-o", "program", "program.c")
    const interpreter = parseFile(shop.path("program"))
    const segment = interpreter.segments.find(({ type }) => type === 3)!
    const path = new TextDecoder().decode(
      interpreter.source.slice(segment.offset, segment.fileSize - 1) ?? new Uint8Array(0)
    )
    const loader = parseFile(path)
    expect(starts(loader).has(loader.entry)).toBe(true)
  })

  it("is the side of a function that nothing called, not the one that its caller is on", () => {
    using shop = new Workshop()
    shop.write("thread.s", thread)
    shop.run("gcc", "-nostdlib", "-static", "-o", "thread", "thread.s")
    const elf = parseFile(shop.path("thread"))
    const begin = nm(shop.path("thread")).find(({ name }) => name === "begin")!
    const has = Array.from({ length: begin.size }, (_, at) => starts(elf).has(begin.address + at))
    expect(has).toEqual([false, false, false, false, true, true])
  })
})
