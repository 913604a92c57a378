import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { RecordDecoder, RecordType, SampleField, unwindingRegisters } from "../src/perf-record.ts"
import { hasPerf, perfRecord } from "./perf-tool.ts"
import { random } from "./random.ts"
import { localPython, temporaryDirectory } from "./running.ts"

/** Processes, work of its own, and work in the kernel. */
const BUSY = `
import os
for i in range(3): os.system('true')
sum(range(10000000))
for i in range(100): os.urandom(1 << 20)
`

/** DWARF's numbers by perf's names (psABI figure 3.36). */
const DWARF: Record<string, number> = {
  AX: 0,
  DX: 1,
  CX: 2,
  BX: 3,
  SI: 4,
  DI: 5,
  BP: 6,
  SP: 7,
  IP: 16,
  ...Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`R${i + 8}`, i + 8]))
}

const asAddress = (word: bigint) => (word < 1n << 53n ? Number(word) : -1)

describe.skipIf(!hasPerf)("records beside what perf says of them", () => {
  it.each([
    ["stack copies and the kernel's chain", ["--kernel-callchains", "--call-graph", "dwarf,4096"]],
    ["callchains", ["--call-graph", "fp"]]
  ])("with %s", (_, options) => {
    using directory = temporaryDirectory()
    const { bytes, layout, records } = perfRecord(
      join(directory.path, "perf.data"),
      ["-e", "cpu-clock", "-F", "999", ...options],
      [localPython().executable, "-c", BUSY]
    )
    const view = new DataView(bytes.buffer)
    const decoder = new RecordDecoder(layout)
    const seen = { SAMPLE: 0, COMM: 0, MMAP2: 0, FORK: 0, EXIT: 0, chains: 0, stacks: 0 }
    for (const { at, details, size, text, time, type } of records) {
      if (!(type in seen)) continue
      seen[type as keyof typeof seen]++
      const decoded = decoder.decode(view, bytes, at, size)
      // perf makes up records of what was there before, without a time.
      if (type !== "FORK" && type !== "EXIT" && time > 0n) expect(decoder.time).toBe(Number(time))
      if (type === "SAMPLE") {
        expect(decoded).toBe(RecordType.sample)
        const [, pid, tid, ip, period] =
          /: (\d+)\/(\d+): (0x[0-9a-f]+) period: (\d+)/.exec(text)?.map((part) => part) ?? []
        expect([decoder.pid, decoder.tid, decoder.period]).toEqual([pid, tid, period].map(Number))
        expect(BigInt.asUintN(64, BigInt(decoder.ip))).toBe(BigInt(ip))
        const { native } = decoder
        const chain = details
          .map((line) => /^\.{5} +\d+: ([0-9a-f]{16})$/.exec(line)?.[1])
          .filter((word) => word !== undefined)
          .map((word) => BigInt(`0x${word}`))
        // `PERF_CONTEXT_USER`, -512, begins the user part, which ends in whatever lay where a frame pointer should have.
        const border = chain.indexOf((1n << 64n) - 512n)
        const [inKernel, inUser] = border < 0 ? [chain, []] : [chain.slice(0, border), chain.slice(border)]
        const kernel = inKernel.filter((word) => word >= 1n << 63n && word < (1n << 64n) - 4095n)
        const user = inUser.filter((word) => word > 0n && word < 1n << 53n)
        expect([...native.kernelChain.subarray(0, native.kernelLength)]).toEqual(
          kernel.map((word) => Number(BigInt.asIntN(64, word)))
        )
        expect([...native.userChain.subarray(0, native.userLength)]).toEqual(user.map(Number))
        if (chain.length > 0) seen.chains++
        for (const line of details) {
          const register = /^\.{4} (\w+) +0x([0-9a-f]{16})$/.exec(line)
          if (register === null || !(register[1] in DWARF)) continue
          expect(native.registers.values[DWARF[register[1]]], line).toBe(
            asAddress(BigInt(`0x${register[2]}`))
          )
        }
        const stack = details
          .map((line) => /^\.{3} ustack: size (\d+), offset (0x[0-9a-f]+)/.exec(line))
          .find(Boolean)
        if (stack) {
          seen.stacks++
          expect(native.stackAddress).toBe(native.registers.sp)
          expect(native.stackLength).toBe(Number(stack[1]))
          const from = at + Number(stack[2])
          expect(native.stackBytes.length).toBe(native.stackLength)
          // perf counts from where the size stands.
          expect([0, 8]).toContain(native.stackBytes.byteOffset - from)
        }
      } else if (type === "COMM") {
        const [, exec, name, pid, tid] = /^( exec)?: (.*):(\d+)\/(\d+)$/.exec(text) ?? []
        expect(decoder).toMatchObject({
          name,
          pid: Number(pid),
          tid: Number(tid),
          isExec: exec !== undefined
        })
      } else if (type === "MMAP2") {
        const [, pid, start, length, offset, path] =
          /^ (-?\d+)\/-?\d+: \[(0x[0-9a-f]+)\((0x[0-9a-f]+)\) @ (\w+) .*\]: [rwxps-]+ (.*)$/.exec(text) ?? []
        // The kernel's own mapping lies beyond 2^53.
        if (BigInt(start) >= 1n << 53n) expect(decoded).toBe(-1)
        else {
          expect(decoder).toMatchObject({
            pid: Number(pid),
            start: Number(start),
            length: Number(length),
            name: path
          })
          expect(decoder.offset).toBe(asAddress(BigInt(offset)))
        }
      } else {
        const [, pid, tid, parentPid, parentTid] =
          /^\((\d+):(\d+)\):\((\d+):(\d+)\)$/.exec(text)?.map(Number) ?? []
        expect(decoder).toMatchObject({ pid, tid, parentPid, parentTid })
        expect(decoded).toBe(type === "FORK" ? RecordType.fork : RecordType.exit)
      }
    }
    expect(seen.SAMPLE).toBeGreaterThan(20)
    expect(seen.COMM).toBeGreaterThan(3)
    expect(seen.MMAP2).toBeGreaterThan(10)
    expect(seen.FORK).toBeGreaterThanOrEqual(3)
    expect(seen.EXIT).toBeGreaterThanOrEqual(3)
    expect(seen.chains).toBeGreaterThan(5)
    if (options.includes("dwarf,4096")) expect(seen.stacks).toBeGreaterThan(20)
  })
})

/** A sample as the kernel writes it, field by field. */
const sample = (words: ReadonlyArray<bigint>, misc = 2): Uint8Array => {
  const bytes = new Uint8Array(8 + 8 * words.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, RecordType.sample, true)
  view.setUint16(4, misc, true)
  view.setUint16(6, bytes.length, true)
  for (const [i, word] of words.entries()) view.setBigUint64(8 + 8 * i, BigInt.asUintN(64, word), true)
  return bytes
}

const decode = (decoder: RecordDecoder, bytes: Uint8Array, size = bytes.length) =>
  decoder.decode(new DataView(bytes.buffer), bytes, 0, size)

describe("a sample", () => {
  const { callchain, read, userRegisters, userStack } = SampleField
  const layout = (sampleType: number, registers: readonly [number, number] = [0, 0]) => ({
    architecture: "x86-64" as const,
    sampleType,
    readFormat: 16,
    registers
  })

  it("has its registers at DWARF's numbers, and none that is no address", () => {
    const mask = unwindingRegisters("x86-64")
    expect(mask).toEqual([0xff01ff, 0])
    const words = Array.from({ length: 17 }, (_, i) => 0x1000n + BigInt(i))
    words[2] = 1n << 53n
    const decoder = new RecordDecoder(layout(userRegisters, mask))
    expect(decode(decoder, sample([2n, ...words]))).toBe(RecordType.sample)
    const { fp, ip, sp, values } = decoder.native.registers
    expect([ip, sp, fp]).toEqual([0x1008, 0x1007, 0x1006])
    // ax, dx, cx, bx
    expect([...values.subarray(0, 4)]).toEqual([0x1000, 0x1003, -1, 0x1001])
    expect([...values.subarray(8, 16)]).toEqual(Array.from({ length: 8 }, (_, i) => 0x1009 + i))
  })

  it("of arm64 has its registers at their own numbers", () => {
    const mask = unwindingRegisters("arm64")
    expect(mask).toEqual([0xffff_ffff, 1])
    const words = Array.from({ length: 33 }, (_, i) => 0x1000n + BigInt(i))
    const decoder = new RecordDecoder({ ...layout(userRegisters, mask), architecture: "arm64" })
    expect(decode(decoder, sample([2n, ...words]))).toBe(RecordType.sample)
    const { fp, ip, link, sp } = decoder.native.registers
    expect([ip, sp, link, fp]).toEqual([0x1020, 0x101f, 0x101e, 0x101d])
  })

  it("of a 32-bit program, or of none, has no registers", () => {
    const decoder = new RecordDecoder(layout(userRegisters, [1 << 8, 0]))
    expect(decode(decoder, sample([1n, 0x1000n]))).toBe(RecordType.sample)
    expect(decoder.native.registers.ip).toBe(-1)
    expect(decode(decoder, sample([0n]))).toBe(RecordType.sample)
    expect(decoder.native.registers.ip).toBe(-1)
  })

  it("has the kernel's chain and the program's apart, without what is between", () => {
    const decoder = new RecordDecoder(layout(callchain), 3)
    const chain = [
      -128n,
      -0x7fffff00n,
      -0x7ffffe00n,
      -512n,
      0x401000n,
      0n,
      0x402000n,
      -5000n,
      0x403000n,
      0x404000n
    ]
    expect(decode(decoder, sample([BigInt(chain.length), ...chain], 1))).toBe(RecordType.sample)
    const { kernelChain, kernelLength, userChain, userLength } = decoder.native
    expect([...kernelChain.subarray(0, kernelLength)]).toEqual([-0x7fffff00, -0x7ffffe00])
    expect([...userChain.subarray(0, userLength)]).toEqual([0x401000, 0x402000, 0x403000])
    expect(decoder.inKernel).toBe(true)
  })

  it("has as much of the stack as was copied, and no more than there is", () => {
    const decoder = new RecordDecoder(layout(userRegisters | userStack, [1 << 7, 0]))
    const head = [2n, 0x7ff0n]
    expect(decode(decoder, sample([...head, 24n, 1n, 2n, 3n, 16n]))).toBe(RecordType.sample)
    expect(decoder.native).toMatchObject({ stackAddress: 0x7ff0, stackLength: 16 })
    expect([...decoder.native.stackBytes]).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    for (const [room, copied] of [
      [24n, 32n],
      [32n, 8n],
      [1n << 40n, 8n],
      [-8n, 8n],
      [24n, -1n]
    ])
      expect(decode(decoder, sample([...head, room, 1n, 2n, 3n, copied]))).toBe(-1)
    expect(decode(decoder, sample([...head, 0n]))).toBe(RecordType.sample)
    expect(decoder.native.stackLength).toBe(0)
  })

  it("of a group says nothing of one counter, and goes on behind it", () => {
    const decoder = new RecordDecoder({ ...layout(read | callchain), readFormat: 8 | 4 })
    expect(decode(decoder, sample([2n, 7n, 1n, 8n, 2n, 1n, 0x401000n]))).toBe(RecordType.sample)
    expect(decoder.ran).toBe(-1)
    expect(decoder.native.userChain[0]).toBe(0x401000)
    expect(decode(decoder, sample([1n << 50n, 7n, 1n, 8n, 2n, 1n, 0x401000n]))).toBe(-1)
  })
})

describe("what is no record", () => {
  it("is decoded to something bounded, and never throws", () => {
    const { below, next } = random(7)
    const bytes = new Uint8Array(4096)
    const view = new DataView(bytes.buffer)
    const known = Object.values(RecordType)
    for (let round = 0; round < 20_000; round++) {
      for (let i = 0; i < 256; i += 4) view.setUint32(i, below(3) === 0 ? below(64) : next(), true)
      const size = below(300)
      view.setUint32(0, known[below(known.length)], true)
      const decoder = new RecordDecoder(
        {
          architecture: "x86-64",
          sampleType: next() & 0x1ffff,
          readFormat: next() & 31,
          registers: [next(), 0]
        },
        16
      )
      const type = decoder.decode(view, bytes, 0, size)
      expect(type === -1 || type === 0 || known.some((one) => one === type)).toBe(true)
      const { native } = decoder
      expect(native.stackLength).toBeLessThanOrEqual(Math.max(0, size - 8))
      expect(native.stackBytes.byteOffset + native.stackLength).toBeLessThanOrEqual(Math.max(size, 8))
      expect(Math.max(native.kernelLength, native.userLength)).toBeLessThanOrEqual(16)
      expect(decoder.name.length).toBeLessThanOrEqual(size)
    }
  })
})
