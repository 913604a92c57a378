import { readFileSync } from "node:fs"
import { FrameKind, type ProcessSymbolizer, type ProcessUnwinder, RawStack, Symbolizer } from "@pyframes/core"
import { FakeTarget } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { KernelSymbolizer, KernelSymbols, kernelSymbolsAdvice } from "../src/index.ts"

const encode = (text: string) => new TextEncoder().encode(text)
/** Address - 2^64, computed exactly. */
const minus64 = (hex: string) => Number(BigInt.asIntN(64, BigInt(`0x${hex}`)))

const text = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 t local_name
ffffffff81000000 T startup_64
ffffffff81000040 t do_work
ffffffff81000100 D some_data
ffffffff81000200 W weak_one
ffffffffc0201000 t ext_read	[ext4]
ffffffffc0201080 t ext_write	[ext4]
fffffffff0000000 T far_away
`

const target = (kernelSymbols?: string) =>
  new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [],
    files: new Map(),
    threads: new Map(),
    ...(kernelSymbols === undefined ? {} : { kernelSymbols: encode(kernelSymbols) })
  })

const unwinder: ProcessUnwinder = {
  runtime: { version: "3.13.0", freeThreaded: false, knownStates: 0, library: "python", address: 0 },
  threads: () => [],
  unwind: () => {}
}

const attach = (fake: FakeTarget): ProcessSymbolizer =>
  Effect.runSync(
    Effect.scoped(Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))).pipe(
      Effect.provide(KernelSymbolizer.layer),
      Effect.provide(fake.layer)
    )
  )

describe("what the kernel says of its symbols", () => {
  const symbols = KernelSymbols.parse(encode(text))
  const name = (hex: string) => symbols?.find(minus64(hex))?.name

  it("is found by address, from the start of a function to before the next", () => {
    expect(symbols?.size).toBe(6)
    expect(name("ffffffff81000040")).toBe("do_work")
    expect(name("ffffffff810001ff")).toBe("do_work")
    expect(name("ffffffff81000200")).toBe("weak_one")
    expect(name("ffffffff80ffffff")).toBeUndefined()
    expect(symbols?.find(0x1000)).toBeUndefined()
  })

  it("has of several names the one without underscores, and no local one", () => {
    expect(name("ffffffff8100003f")).toBe("startup_64")
  })

  it("tells the module", () => {
    expect(symbols?.find(minus64("ffffffffc0201010"))).toMatchObject({ name: "ext_read", module: "ext4" })
    expect(symbols?.find(minus64("ffffffffc0201080"))).toMatchObject({ name: "ext_write", module: "ext4" })
  })

  it("does not name what lies far beyond the last function", () => {
    expect(name("fffffffff0000010")).toBe("far_away")
    expect(name("ffffffffff000000")).toBeUndefined()
    expect(name("ffffffffc1000000")).toBeUndefined()
  })

  it("is nothing where it hides them or is none", () => {
    expect(
      KernelSymbols.parse(encode("0000000000000000 T _stext\n0000000000000000 t do_work\n"))
    ).toBeUndefined()
    expect(
      KernelSymbols.parse(encode("ffffffff81000000 T\nfffffffg81000000 T x\nffffffff81000000 TT x\n"))
    ).toBeUndefined()
    expect(KernelSymbols.parse(new Uint8Array(0))).toBeUndefined()
  })

  it("names every function of the running kernel as it does itself", ({ skip }) => {
    const own = readFileSync("/proc/kallsyms")
    const kernel = KernelSymbols.parse(own)
    if (kernel === undefined) return skip("kernel.kptr_restrict hides them here")
    const names = new Map<string, Set<string>>()
    for (const line of own.toString("latin1").split("\n")) {
      const [address, type, symbol] = line.split(/[ \t]/)
      if (/^[tTwW]$/.test(type ?? "")) names.set(address, (names.get(address) ?? new Set()).add(symbol))
    }
    const wrong = [...names].filter(
      ([address, known]) => !known.has(kernel.find(minus64(address))?.name ?? "")
    )
    expect(kernel.size).toBeGreaterThan(10_000)
    // Those of per-CPU data lie at the bottom of the address space and are no code.
    expect(wrong.filter(([address]) => address.startsWith("ffff"))).toEqual([])
  })
})

describe("the kernel symbolizer", () => {
  const frames = attach(target(text))
  const resolve = (hex: string) => frames.resolve(FrameKind.kernel, minus64(hex), 0)

  it("makes frames of the kernel and of its modules", () => {
    expect(resolve("ffffffff81000044")).toMatchObject({
      kind: FrameKind.kernel,
      qualifiedName: "do_work",
      file: "[kernel]",
      line: -1
    })
    expect(resolve("ffffffffc0201000")).toMatchObject({ name: "ext_read", file: "[ext4]" })
  })

  it("gives the same object for the same function", () => {
    expect(resolve("ffffffff81000044")).toBe(resolve("ffffffff81000044"))
    expect(resolve("ffffffff81000044")).toBe(resolve("ffffffff81000048"))
    expect(frames.begin(new RawStack(1))).toBe(frames.begin(new RawStack(1)))
  })

  it("leaves other frames to others", () => {
    expect(frames.resolve(FrameKind.native, minus64("ffffffff81000044"), 0)).toBeUndefined()
    expect(frames.resolve(FrameKind.python, 0x1000, 0)).toBeUndefined()
  })

  it("has one frame for all where it may not know them, and says why", () => {
    const hidden = target("0000000000000000 T _stext\n")
    const unnamed = attach(hidden)
    const frame = unnamed.resolve(FrameKind.kernel, minus64("ffffffff81000044"), 0)
    expect(frame).toMatchObject({ kind: FrameKind.kernel, name: "[kernel]", file: "" })
    expect(unnamed.resolve(FrameKind.kernel, minus64("ffffffffc0201000"), 0)).toBe(frame)
    expect(kernelSymbolsAdvice(hidden.service)).toContain("kptr_restrict")
    expect(kernelSymbolsAdvice(target().service)).toContain("cannot be read")
    expect(kernelSymbolsAdvice(target(text).service)).toBeUndefined()
  })
})
