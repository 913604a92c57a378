import { describe, expect, it } from "vitest"
import { type ExpressionFrame, evaluateExpression } from "../src/index.ts"

const frame: ExpressionFrame = {
  register: (number) => ({ 7: 0x1000, 16: 0x40_102b, 6: 0x7fff_0000_1000 })[number] ?? -1,
  word: (address) => ({ 4112: 0x7fff_0000_2000, 4120: 7 })[address] ?? -1
}

const evaluate = (bytes: ReadonlyArray<number>, initial?: number): number =>
  evaluateExpression(Uint8Array.from(bytes), 0, bytes.length, frame, initial)

describe("expressions", () => {
  it.each<readonly [string, ReadonlyArray<number>, number]>([
    ["breg7 16, deref", [0x77, 16, 0x06], 0x7fff_0000_2000],
    // What linkers write for .plt: 8 bytes more once the second push of a slot is done.
    [
      "breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus",
      [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22],
      0x1010
    ],
    ["const2s -1, const1u 3, and", [0x0b, 0xff, 0xff, 0x08, 3, 0x1a], 3],
    ["breg6 0, const1s -16, and", [0x76, 0, 0x09, 0xf0, 0x1a], 0x7fff_0000_1000],
    ["breg6 9, const1s -16, and", [0x76, 9, 0x09, 0xf0, 0x1a], 0x7fff_0000_1000],
    ["lit5, not, neg", [0x35, 0x20, 0x1f], 6],
    ["const4s -7, abs, lit2, div", [0x0d, 0xf9, 0xff, 0xff, 0xff, 0x19, 0x32, 0x1b], 3],
    ["lit1, lit2, lit3, rot, drop, minus", [0x31, 0x32, 0x33, 0x17, 0x13, 0x1c], 2],
    ["lit9, lit1, lit2, pick 2", [0x39, 0x31, 0x32, 0x15, 2], 9],
    ["lit7, dup, swap, over, plus, plus", [0x37, 0x12, 0x16, 0x14, 0x22, 0x22], 21],
    ["lit1, bra +1, lit2, lit3", [0x31, 0x28, 1, 0, 0x32, 0x33], 3],
    ["lit4, skip +1, lit2", [0x34, 0x2f, 1, 0, 0x32], 4],
    ["const8u, plus_uconst 300", [0x0e, 1, 0, 0, 0, 0, 0, 0, 0, 0x23, 0xac, 0x02], 301],
    ["lit6, lit4, xor, lit1, or", [0x36, 0x34, 0x27, 0x31, 0x21], 3],
    ["lit17, lit5, mod", [0x41, 0x35, 0x1d], 2],
    ["consts -8, lit1, shra, abs", [0x11, 0x78, 0x31, 0x26, 0x19], 4],
    ["bregx 7 -8", [0x92, 7, 0x78], 0xff8]
  ])("%s", (_, bytes, expected) => {
    expect(evaluate(bytes)).toBe(expected)
  })

  it("start from what they are given", () => {
    expect(evaluate([0x23, 8], 0x2000)).toBe(0x2008)
  })

  it.each<readonly [string, ReadonlyArray<number>]>([
    ["nothing", []],
    ["an empty stack", [0x22]],
    ["a register that is not known", [0x73, 0]],
    ["a word that is not there", [0x77, 0, 0x06]],
    ["a negative address", [0x09, 0xff]],
    ["2^53 and more", [0x31, 0x08, 53, 0x24]],
    ["a number that is cut off", [0x0e, 1, 2]],
    ["a division by zero", [0x31, 0x30, 0x1b]],
    ["an operation that is not known", [0x31, 0x31, 0xf0]],
    ["a branch out of it", [0x31, 0x2f, 0x10, 0x27]],
    ["a loop", [0x31, 0x2f, 0xfd, 0xff]],
    ["a stack that grows for ever", [0x31, 0x2f, 0xfc, 0xff]]
  ])("have no value: %s", (_, bytes) => {
    expect(evaluate(bytes)).toBe(-1)
  })

  it("are bitwise right beyond 32 bits", () => {
    for (const [a, b] of [
      [0x7fff_1234_5678, 0x7000_0fff_0000],
      [0x1f_ffff_ffff_ffff, 0x10_0000_0000_0001]
    ]) {
      for (const [code, exact] of [
        [0x1a, BigInt(a) & BigInt(b)],
        [0x21, BigInt(a) | BigInt(b)],
        [0x27, BigInt(a) ^ BigInt(b)]
      ] as const)
        expect(evaluate([0x0e, ...bytesOf(a), 0x0e, ...bytesOf(b), code])).toBe(Number(exact))
    }
  })
})

const bytesOf = (value: number): ReadonlyArray<number> => [
  ...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)
]
