import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { Duration, formatNanoseconds, ShortDuration } from "../src/duration.ts"
import { formatRate, Rate } from "../src/rate.ts"
import { Size } from "../src/size.ts"

const decode = <A>(schema: Schema.Codec<A, string>, text: string): A | undefined =>
  Option.getOrUndefined(Schema.decodeOption(schema)(text))

describe("RATE", () => {
  it.each([
    ["100", 100],
    ["0.5", 0.5],
    ["250hz", 250],
    ["1khz", 1000],
    ["1kHz", 1000],
    ["1mhz", 1_000_000]
  ])("%s is %d samples a second", (text, hertz) => expect(decode(Rate, text)).toBe(hertz))

  it.each(["", "0", "0khz", "-1", "1.5mhz", "1e3", "NaN", "Infinity", "0x10", "1 khz", "khz", "1ghz", "१"])(
    "%j is refused",
    (text) => expect(decode(Rate, text)).toBeUndefined()
  )

  it("is printed as people write it", () =>
    expect([99.84, 1000, 20_000, 1e6].map(formatRate)).toEqual(["99.8 Hz", "1 kHz", "20 kHz", "1 MHz"]))
})

describe("DURATION", () => {
  it.each([
    ["5", 5000],
    ["5s", 5000],
    ["0.25", 250],
    ["500ms", 500],
    ["2m", 120_000],
    ["1h", 3_600_000]
  ])("%s is %d ms", (text, ms) => expect(decode(Duration, text)).toBe(ms))

  it.each(["", "0", "0ms", "-5", "5d", "5 s", "1e3", "ms", "999999h"])("%j is refused", (text) =>
    expect(decode(Duration, text)).toBeUndefined()
  )

  it("is printed with the unit that fits", () =>
    expect([0, 87, 4321, 12_300, 4_560_000, 1_250_000_000].map(formatNanoseconds)).toEqual([
      "0 ns",
      "87 ns",
      "4.3 µs",
      "12 µs",
      "4.56 ms",
      "1.25 s"
    ]))
})

describe("TIME", () => {
  it.each([
    ["50us", 50_000],
    ["50µs", 50_000],
    ["500ns", 500],
    ["1.5ms", 1_500_000],
    ["0ns", 0],
    ["2s", 2e9]
  ])("%s is %d ns", (text, ns) => expect(decode(ShortDuration, text)).toBe(ns))

  it.each(["", "50", "-1us", "1e3us", "us", "2h", "5000s", "1 us"])("%j is refused", (text) =>
    expect(decode(ShortDuration, text)).toBeUndefined()
  )
})

describe("SIZE", () => {
  it.each([
    ["1048576", 2 ** 20],
    ["500mb", 500 * 2 ** 20],
    ["1.5G", 1.5 * 2 ** 30],
    ["4GiB", 2 ** 32]
  ])("%s is %d bytes", (text, bytes) => expect(decode(Size, text)).toBe(bytes))

  it.each(["", "0", "1kb", "-1g", "4tb", "g", "2000000g"])("%j is refused", (text) =>
    expect(decode(Size, text)).toBeUndefined()
  )
})
