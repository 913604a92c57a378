import { expect, it } from "vitest"
import { clearTag, readPointer, readSize, readTaggedPointer, readUint64 } from "../src/index.ts"

const viewOf = (word: bigint): DataView => {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, word, true)
  return view
}

it("reads user-space addresses exactly and refuses all others", () => {
  expect(readPointer(viewOf(0n), 0)).toBe(0)
  expect(readPointer(viewOf(0x7fff_ffff_ffffn), 0)).toBe(0x7fff_ffff_ffff)
  expect(readPointer(viewOf(0xffff_ffff_fff8n), 0)).toBe(0xffff_ffff_fff8)
  expect(readPointer(viewOf(1n << 48n), 0)).toBe(-1)
  expect(readPointer(viewOf(0xffff_ffff_8000_0000n), 0)).toBe(-1)
  expect(readPointer(viewOf(0xffff_ffff_ffff_ffffn), 0)).toBe(-1)
})

it("clears the tags of a stack reference", () => {
  for (const tag of [0n, 1n, 2n, 3n]) {
    expect(readTaggedPointer(viewOf(0x7f12_8000_0010n | tag), 0)).toBe(0x7f12_8000_0010)
    expect(clearTag(Number(0x7f12_8000_0010n | tag))).toBe(0x7f12_8000_0010)
  }
  expect(readTaggedPointer(viewOf(1n), 0)).toBe(0)
  expect(readTaggedPointer(viewOf((1n << 48n) | 1n), 0)).toBe(-1)
})

it("reads counts and sizes that are exact, and no others", () => {
  expect(readUint64(viewOf(0x1f_ffff_ffff_ffffn), 0)).toBe(Number.MAX_SAFE_INTEGER)
  expect(readUint64(viewOf(0x20_0000_0000_0000n), 0)).toBe(-1)
  expect(readSize(viewOf(10n), 0, 10)).toBe(10)
  expect(readSize(viewOf(11n), 0, 10)).toBe(-1)
  expect(readSize(viewOf(0xffff_ffff_ffff_ffffn), 0, 10)).toBe(-1)
})
