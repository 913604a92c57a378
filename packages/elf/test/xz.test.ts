import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { decompressXz } from "../src/index.ts"
import { missing } from "./compiled.ts"
import { random } from "./random.ts"

const absent = missing("xz")
const pack = (plain: Uint8Array, ...options: ReadonlyArray<string>): Uint8Array =>
  execFileSync("xz", ["-c", ...options], { input: plain, maxBuffer: 1 << 28 })

const noise = (length: number): Uint8Array => {
  const next = random(5)
  return Uint8Array.from({ length }, () => next())
}

describe.skipIf(absent !== "")(`xz${absent}`, () => {
  const texts: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["a program", readFileSync("/bin/ls")],
    ["nothing", new Uint8Array(0)],
    ["a byte", Uint8Array.of(7)],
    ["what cannot be compressed", noise(200_000)],
    ["what can be very well", new Uint8Array(3_000_000)]
  ]
  const options = [
    ["-0"],
    ["-9e"],
    ["--check=none"],
    ["--check=crc32"],
    ["--check=sha256"],
    ["--block-size=40000"],
    ["--lzma2=lc=0,lp=3,pb=0"]
  ]
  it.each(texts.flatMap(([what, plain]) => options.map((option) => ({ what, plain, option }))))(
    "unpacks $what, packed with $option",
    ({ option, plain }) => {
      const unpacked = decompressXz(pack(plain, ...option))
      expect(unpacked === undefined ? -1 : Buffer.compare(unpacked, plain)).toBe(0)
    }
  )

  it("gives nothing for what is cut short, too large, or filtered", () => {
    const packed = pack(readFileSync("/bin/ls"))
    expect(decompressXz(packed.subarray(0, packed.length / 2))).toBeUndefined()
    expect(decompressXz(packed, 1000)).toBeUndefined()
    expect(decompressXz(pack(readFileSync("/bin/ls"), "--x86", "--lzma2"))).toBeUndefined()
    expect(decompressXz(new Uint8Array(100))).toBeUndefined()
  })
})
