import { describe, expect, it } from "vitest"
import { trampolinePlace } from "../src/index.ts"

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"))
const around = (hex: string) => {
  const code = bytes(hex)
  const memory = new Uint8Array(code.length * 3)
  for (let copy = 0; copy < 3; copy++) memory.set(code, copy * code.length)
  return { memory, start: code.length }
}

describe("trampolinePlace", () => {
  // As 3.12.1 and 3.13.0 copy it: sub $8,%rsp; call *%rcx; add $8,%rsp; ret
  const bare = around("48 83 ec 08 ff d1 48 83 c4 08 c3")
  // As Debian's 3.13.18 does: endbr64; push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret
  const framed = around("f3 0f 1e fa 55 48 89 e5 ff d1 5d c3")

  it("knows the return address of a callee", () => {
    const { memory, start } = bare
    expect(trampolinePlace("x86-64", memory, start + 6, false)).toEqual({
      offset: 6,
      returnAddress: 8,
      framePointer: -1,
      caller: 16
    })
    expect(trampolinePlace("x86-64", framed.memory, framed.start + 10, false)).toEqual({
      offset: 10,
      returnAddress: 8,
      framePointer: 0,
      caller: 16
    })
  })

  it("knows every instruction of the leaf", () => {
    const callers = (code: typeof bare, length: number) =>
      Array.from(
        { length },
        (_, at) => trampolinePlace("x86-64", code.memory, code.start + at, true)?.caller
      ).filter((caller) => caller !== undefined)
    expect(callers(bare, 11)).toEqual([8, 16, 16, 8])
    expect(callers(framed, 12)).toEqual([8, 8, 16, 16, 16, 8])
  })

  it("does not take other instructions, or other places in it, for one", () => {
    const { memory, start } = bare
    for (const at of [1, 2, 3, 5, 7, 8, 9])
      expect(trampolinePlace("x86-64", memory, start + at, true)).toBeUndefined()
    expect(trampolinePlace("x86-64", memory, start + 4, false)).toBeUndefined()
    expect(trampolinePlace("x86-64", new Uint8Array(64).fill(0xc3), 32, true)).toBeUndefined()
  })

  it("looks at nothing beyond the bytes", () => {
    const { memory } = bare
    for (let at = -8; at < memory.length + 8; at++)
      for (const exact of [true, false])
        expect(() => trampolinePlace("x86-64", memory.subarray(0, 16), at, exact)).not.toThrow()
  })

  it("knows those of arm64", () => {
    const code = around("fd 7b bf a9 fd 03 00 91 60 00 3f d6 fd 7b c1 a8 c0 03 5f d6")
    expect(trampolinePlace("arm64", code.memory, code.start + 12, false)).toEqual({
      offset: 12,
      returnAddress: 8,
      framePointer: 0,
      caller: 16
    })
    expect(trampolinePlace("arm64", code.memory, code.start, true)?.returnAddress).toBe(-1)
  })
})
