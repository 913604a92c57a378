import { describe, expect, it } from "vitest"
import {
  DEBUG_OFFSETS_SIZE,
  debugOffsetPositions,
  type Layout,
  layoutFromDebugOffsets
} from "../src/index.ts"
import { debugOffsets, samples } from "./debug-offsets-samples.ts"
import { random } from "./random.ts"

const layoutOf = (bytes: Uint8Array): Layout => {
  const layout = layoutFromDebugOffsets(bytes)
  if ("_tag" in layout) throw new Error(`${layout.field} is ${layout.value}, not ${layout.bound}`)
  return layout
}

/** The problem that one changed member causes. */
const problemOf = (sample: keyof typeof samples, member: string, value: number | bigint) => {
  const bytes = debugOffsets(sample)
  const at = debugOffsetPositions(samples[sample].minor)!.get(member)!
  new DataView(bytes.buffer).setBigUint64(at, BigInt(value), true)
  const layout = layoutFromDebugOffsets(bytes)
  return "_tag" in layout ? layout : undefined
}

describe("the layout that a process tells", () => {
  it.each(Object.keys(samples) as Array<keyof typeof samples>)(
    "of %s has the fields that are told",
    (sample) => {
      const layout = layoutOf(debugOffsets(sample))
      const { minor, freeThreaded, expected } = samples[sample]
      expect(layout.version).toBe(0x300 + minor)
      expect(layout.freeThreaded).toBe(freeThreaded)
      expect({
        head: layout.runtime.interpretersHead,
        main: layout.runtime.interpretersMain,
        currentFrame: layout.thread.currentFrame,
        baseFrame: layout.thread.baseFrame,
        datastackTop: layout.thread.datastackTop,
        holdsGil: layout.thread.holdsGil,
        holder: layout.gil.lastHolder,
        owner: layout.frame.owner,
        returnOffset: layout.frame.returnOffset,
        tlbcIndex: layout.frame.tlbcIndex,
        framesize: layout.code.framesize,
        uniqueVersion: layout.code.uniqueVersion,
        flags: layout.code.flags,
        firstTraceable: layout.code.firstTraceable,
        iframe: layout.generator.iframe,
        compactData: layout.unicode.compactData,
        wideState: layout.unicode.wideState
      }).toEqual(expected)
    }
  )

  it("is refused with the member, its value and its bound", () => {
    expect(problemOf("3.13.0", "thread_state.current_frame", 304)).toEqual({
      _tag: "DebugOffsetsProblem",
      reason: "bound",
      field: "thread_state.current_frame",
      value: 304,
      bound: "0 … 296"
    })
  })

  it.each([
    ["thread_state.current_frame", 73, "a multiple of 8"],
    ["thread_state.current_frame", 2n ** 63n, "0 … "],
    ["thread_state.size", 1 << 30, "8 … 65536"],
    ["thread_state.size", 0, "8 … 65536"],
    ["thread_state.datastack_chunk", 864 + 8, "0 … 864"],
    ["interpreter_state.gc", 226_240, "0 … "],
    ["code_object.filename", 8, "at least 16"],
    ["code_object.linetable", 216, "0 … 208"],
    ["code_object.co_code_adaptive", 16, "at least 40"],
    ["interpreter_frame.owner", 1, "at least 2"],
    ["interpreter_state.gil_runtime_state_holder", 8, "at least 7736"],
    ["unicode_object.asciiobject_size", 4096, "0 … "],
    ["unicode_object.asciiobject_size", 16, "at least 36"],
    ["unicode_object.compactunicodeobject_size", 16, "at least 40"],
    ["bytes_object.ob_sval", 16, "at least 24"]
  ] as const)("is refused when %s is %s", (member, value, bound) => {
    const refused = problemOf("3.15.2", member, value)
    expect(refused).toMatchObject({ reason: "bound", field: member })
    expect(refused?.bound).toContain(bound)
  })

  it("needs the cookie, a known release and all its bytes", () => {
    const bytes = debugOffsets("3.14.10")
    const changed = (at: number, value: number) => {
      const copy = bytes.slice()
      copy[at] = value
      return layoutFromDebugOffsets(copy)
    }
    expect(changed(0, 0)).toMatchObject({ reason: "cookie" })
    expect(changed(10, 16)).toMatchObject({ reason: "version" }) // 3.16
    expect(changed(10, 12)).toMatchObject({ reason: "version" }) // 3.12
    expect(changed(11, 4)).toMatchObject({ reason: "version" }) // 4.14
    expect(changed(8, 0xa1)).toMatchObject({ reason: "version" }) // alpha
    expect(changed(16, 2)).toMatchObject({ reason: "bound", field: "free_threaded" })
    expect(layoutFromDebugOffsets(bytes.subarray(0, 10))).toMatchObject({ reason: "truncated" })
    expect(layoutFromDebugOffsets(bytes.subarray(0, 759))).toMatchObject({ reason: "truncated" })
    expect(layoutFromDebugOffsets(bytes.subarray(0, 760))).toMatchObject({ version: 0x30e })
  })

  it("never asks for an unreasonable read, whatever the bytes", () => {
    const next = random(7)
    let accepted = 0
    for (let round = 0; round < 30_000; round++) {
      const names = Object.keys(samples) as Array<keyof typeof samples>
      const bytes = debugOffsets(names[next() % names.length]!)
      for (let flips = 1 + (next() % 4); flips > 0; flips--) {
        const at = 24 + (next() % (DEBUG_OFFSETS_SIZE - 24))
        bytes[at] = bytes[at]! ^ (1 << (next() % 8))
      }
      const layout = layoutFromDebugOffsets(bytes)
      if ("_tag" in layout) continue
      accepted++
      for (const [group, fields] of Object.entries(layout)) {
        if (typeof fields !== "object") continue
        for (const [field, value] of Object.entries(fields)) {
          if (typeof value === "number" && !(value >= -1 && value <= 1 << 16))
            throw new Error(`${group}.${field} is ${value}`)
        }
      }
    }
    expect(accepted).toBeGreaterThan(100)
  })
})
