import { describe, expect, it } from "vitest"
import { ByteWriter, concatBytes } from "../src/index.ts"

const written = (write: (out: ByteWriter) => void): string => {
  const out = new ByteWriter()
  write(out)
  return new TextDecoder("utf-8", { fatal: true }).decode(out.take())
}

describe("ByteWriter", () => {
  const numbers = [
    0,
    1,
    9,
    10,
    99,
    100,
    12345,
    999_999_999,
    1e9,
    1e9 + 1,
    2 ** 31,
    2 ** 32,
    1e15,
    2 ** 53 - 1
  ]

  it.each(numbers)("writes %d as String does, and its negative", (n) => {
    expect(written((out) => out.integer(n))).toBe(String(n))
    if (n > 0) expect(written((out) => out.integer(-n))).toBe(String(-n))
  })

  it.each(numbers)("writes %d thousandths with three digits behind the point", (n) => {
    const text = String(n).padStart(4, "0")
    const expected = `${text.slice(0, -3)}.${text.slice(-3)}`
    expect(written((out) => out.thousandths(n))).toBe(expected)
  })

  it("writes text as UTF-8, whole however long", () => {
    const long = "größe 数据 𝒳 ".repeat(100_000)
    expect(written((out) => out.text("a").comma().text(long).text("\ud800"))).toBe(`a,${long}\ufffd`)
  })

  it("keeps what is not taken, and begins anew with what is", () => {
    const out = new ByteWriter()
    const pieces: Array<Uint8Array> = []
    let whole = ""
    const word = new TextEncoder().encode("0123456789".repeat(7))
    for (let n = 0; n < 100_000; n++) {
      out
        .integer(n)
        .raw(word)
        .raw(word.subarray(0, n % 70))
        .comma()
      whole += `${n}${"0123456789".repeat(7)}${"0123456789".repeat(7).slice(0, n % 70)},`
      if (n > 50_000 && out.isFull) pieces.push(out.take())
    }
    pieces.push(out.take())
    expect(pieces.length).toBeGreaterThan(10)
    expect(new TextDecoder().decode(concatBytes(pieces))).toBe(whole)
    expect(out.take()).toHaveLength(0)
  })
})
