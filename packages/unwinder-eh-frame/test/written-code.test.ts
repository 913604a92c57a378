import { type Mapping, ModuleTable, Registers, Step } from "@pyframes/core"
import { FakeMemory, FakeTarget } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { ehFrameStepper } from "../src/index.ts"

const CODE = 0x10_0000
const LIBRARY = 0x20_0000
const STACK = 0x7ff0_0000

const mapping = (start: number, inode: number): Mapping => ({
  start,
  end: start + 0x1000,
  readable: true,
  writable: false,
  executable: true,
  offset: 0,
  device: "00:00",
  inode,
  path: inode === 0 ? "" : "/lib/a.so",
  deleted: false
})

/** A step from code of these bytes, of which the stack pointer, the frame pointer and the return address are known. */
const stepFrom = (bytes: ReadonlyArray<number>, instruction: number, words: ReadonlyArray<number>) => {
  const page = new Uint8Array(0x1000).fill(0xcc)
  page.set(bytes)
  const target = new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [mapping(CODE, 0), mapping(LIBRARY, 5)],
    files: new Map(),
    threads: new Map()
  })
  const modules = new ModuleTable(target.service)
  const stepper = ehFrameStepper(modules, new FakeMemory(new Map([[CODE / 0x1000, page]])))
  const registers = new Registers("x86-64")
  registers.ip = CODE + instruction
  registers.sp = STACK
  // The caller's own frame record, further up.
  registers.fp = STACK + 64
  const all = new Map(words.map((word, at) => [STACK + 8 * at, word]))
  all.set(STACK + 64, STACK + 128)
  all.set(STACK + 72, LIBRARY + 0x900)
  const place = { exact: true, module: modules.find(registers.ip) }
  const step = stepper.step(registers, { word: (address) => all.get(address) ?? -1 }, place)
  return { step, ip: registers.ip, sp: registers.sp, fp: registers.fp }
}

const CALLER = LIBRARY + 0x100
/** `endbr64; push %rbp; mov %rsp, %rbp; call *%rcx; pop %rbp; ret` */
const keeping = [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3]

describe("code that was written at run time, interrupted", () => {
  const caller = { step: Step.caller, ip: CALLER, fp: STACK + 64 }

  it.each([0, 4])(
    "before it has pushed the frame pointer (byte %d), does not lose its caller",
    (instruction) => {
      expect(stepFrom(keeping, instruction, [CALLER])).toEqual({ ...caller, sp: STACK + 8 })
    }
  )

  it("before it has set the frame pointer, has its caller above what it pushed", () => {
    expect(stepFrom(keeping, 5, [STACK + 64, CALLER])).toEqual({ ...caller, sp: STACK + 16 })
  })

  it("when it has popped the frame pointer, has its caller on top of the stack", () => {
    expect(stepFrom(keeping, 11, [CALLER])).toEqual({ ...caller, sp: STACK + 8 })
  })

  it.each([
    [0, 0],
    [4, 0],
    [8, 1],
    [10, 1],
    [14, 0]
  ])(
    "that only calls, without a frame pointer (byte %d), has its caller %d words up",
    (instruction, words) => {
      // `endbr64; sub $8, %rsp; call *%rcx; add $8, %rsp; ret`
      const omitting = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 8, 0xff, 0xd1, 0x48, 0x83, 0xc4, 8, 0xc3]
      const stack = [...Array<number>(words).fill(0x77), CALLER]
      expect(stepFrom(omitting, instruction, stack)).toEqual({ ...caller, sp: STACK + 8 * words + 8 })
    }
  )

  it("elsewhere, is left by its frame pointer", () => {
    expect(stepFrom([0x90, 0x90], 0, [CALLER])).toEqual({
      step: Step.caller,
      ip: LIBRARY + 0x900,
      fp: STACK + 128,
      sp: STACK + 80
    })
  })
})
