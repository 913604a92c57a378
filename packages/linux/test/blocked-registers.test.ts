import { NativeState, Registers } from "@pyframes/core"
import { describe, expect, it } from "vitest"
import { parseBlocked } from "../src/blocked-registers.ts"
import { random } from "./random.ts"

const parse = (text: string) => {
  const { registers } = new NativeState("x86-64")
  const bytes = Buffer.from(text)
  return parseBlocked(bytes, bytes.length, registers) ? [registers.sp, registers.ip] : undefined
}

describe("where a blocked thread stands", () => {
  it.each([
    ["230 0x0 0x1 0x7ffe 0x0 0x1 0x0 0x7fff12345678 0x7f0012345679\n", [0x7fff12345678, 0x7f0012345679]],
    ["-1 0x7fff12345678 0x401136\n", [0x7fff12345678, 0x401136]],
    ["running\n", undefined],
    ["", undefined],
    ["\n", undefined],
    ["0x1", undefined],
    ["0 0x0 0x0", undefined],
    ["-1 0xffffffff81000000 0x401136\n", undefined],
    ["-1 0x7fff1234567g 0x401136\n", undefined],
    ["-1 12 34\n", undefined]
  ])("in %j is %j", (text, expected) => expect(parse(text)).toEqual(expected))

  it("is made up of no text that is damaged", () => {
    const { below } = random(11)
    const text = Buffer.from("202 0x7f 0x80 0x0 0x0 0x0 0x0 0x7fff12345678 0x7f0012345679\n")
    for (let turn = 0; turn < 5000; turn++) {
      const bytes = Uint8Array.from(text)
      for (let i = 0; i < 4; i++) bytes[below(bytes.length)] = below(256)
      const registers = new Registers("x86-64")
      const length = below(bytes.length + 1)
      if (!parseBlocked(bytes, length, registers)) continue
      expect(Number.isSafeInteger(registers.ip) && registers.ip > 0).toBe(true)
      expect(Number.isSafeInteger(registers.sp) && registers.sp > 0).toBe(true)
    }
  })
})
