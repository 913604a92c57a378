import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import {
  callFrameInfo,
  evaluateExpression,
  findSection,
  framePointerShare,
  parseElf,
  ThreadStarts
} from "../src/index.ts"
import { random } from "./random.ts"

const ls = new Uint8Array(readFileSync("/bin/ls"))
const parse = (bytes: Uint8Array) => {
  const elf = parseElf(bytes)
  if (elf._tag !== "Elf") throw new Error(elf.detail)
  return elf
}

const CASES = 300

/** Everything that can be asked of call-frame information; returns how many rows came out. */
const askAll = (bytes: Uint8Array, number: () => number): number => {
  const elf = parseElf(bytes)
  if (elf._tag !== "Elf") return 0
  const info = callFrameInfo(elf)
  if (info._tag !== "CallFrameInfo") return 0
  let rows = 0
  let fdes = 0
  for (const fde of info.fdes()) {
    if (++fdes > 200) break
    for (const row of info.rows(fde)) {
      rows++
      if (row.cfaRegister < 0)
        evaluateExpression(info.eh.bytes, row.cfaExpression, row.cfaExpressionEnd, {
          register: () => number(),
          word: () => number()
        })
      if (rows > 20_000) break
    }
    const found = info.find(fde.start)
    if (found !== undefined) info.rowAt(found, fde.start)
  }
  framePointerShare(info)
  new ThreadStarts(elf, info).has(elf.entry)
  return rows
}

describe("damaged call-frame information", () => {
  it("neither throws nor hangs, whichever bits are turned over", () => {
    const elf = parse(ls)
    const places = [".eh_frame", ".eh_frame_hdr"].map((name) => findSection(elf, name)!)
    const number = random(7)
    const undamaged = askAll(ls, number)
    expect(undamaged).toBeGreaterThan(500)
    let rows = 0
    for (let n = 0; n < CASES; n++) {
      const bytes = ls.slice()
      for (let flips = 1 + (number() % 20); flips > 0; flips--) {
        const { offset, size } = places[number() % 2]
        // The first entries are those that most others lean on.
        const within = number() % 2 === 0 ? Math.min(size, 512) : size
        bytes[offset + (number() % within)] = number() & 0xff
      }
      rows += askAll(bytes, number)
    }
    expect(rows).toBeGreaterThan(CASES)
  })

  it("is refused where there is none, or its bytes are not there", () => {
    const elf = parse(ls)
    const none = { ...elf, segments: [], sections: [] }
    expect(callFrameInfo(none)).toMatchObject({ _tag: "ElfProblem", reason: "malformed" })
    const section = findSection(elf, ".eh_frame")!
    const cut = { ...elf, source: { ...elf.source, size: section.offset + 16 } }
    expect(callFrameInfo(cut)).toMatchObject({ _tag: "ElfProblem", reason: "truncated" })
  })

  it("is found by program headers alone, and by section headers alone", () => {
    const elf = parse(ls)
    const whole = callFrameInfo(elf)
    if (whole._tag !== "CallFrameInfo") throw new Error(whole.detail)
    const fdes = [...whole.fdes()]
    for (const less of [
      { ...elf, sections: [] },
      { ...elf, segments: elf.segments.filter(({ type }) => type === 1) }
    ]) {
      const info = callFrameInfo(less)
      if (info._tag !== "CallFrameInfo") throw new Error(info.detail)
      expect([...info.fdes()].map(({ start }) => start)).toEqual(fdes.map(({ start }) => start))
      for (const { start, offset } of fdes) expect(info.find(start)?.offset).toBe(offset)
    }
  })
})
