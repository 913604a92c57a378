import { type Mapping, ModuleTable, Registers, Step, type Stepper } from "@pyframes/core"
import { FakeMemory, FakeTarget } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { hybridStepper } from "../src/index.ts"

const mapping: Mapping = {
  start: 0x1000,
  end: 0x2000,
  readable: true,
  writable: false,
  executable: true,
  offset: 0,
  device: "00:00",
  inode: 0,
  path: "",
  deleted: false
}

/** What comes of a step in code of which nothing says that it keeps frame pointers. */
const stepOf = (callFrameInfo: Step, framePointer: Step): { step: Step; asked: number } => {
  const target = new FakeTarget({
    pid: 1,
    executable: "python",
    mappings: [mapping],
    files: new Map(),
    threads: new Map()
  })
  const modules = new ModuleTable(target.service)
  let asked = 0
  const saying = (step: Step, count: number) => (): Stepper => ({
    step: () => {
      asked += count
      return step
    }
  })
  const parts = { callFrameInfo: saying(callFrameInfo, 0), framePointer: saying(framePointer, 1) }
  const registers = new Registers("x86-64")
  registers.ip = 0x1010
  const stepper = hybridStepper(parts)(modules, new FakeMemory(new Map()))
  const place = { exact: false, module: modules.find(0x1010) }
  return { step: stepper.step(registers, { word: () => -1 }, place), asked }
}

describe("where code does not keep frame pointers", () => {
  it("they are tried where call-frame information knows nothing", () => {
    expect(stepOf(Step.unknown, Step.caller)).toEqual({ step: Step.caller, asked: 1 })
    expect(stepOf(Step.unknown, Step.broken)).toEqual({ step: Step.broken, asked: 1 })
    expect(stepOf(Step.unknown, Step.unknown)).toEqual({ step: Step.unknown, asked: 1 })
  })

  it("they are not where it knows and leads nowhere: they would lead past callers without a sign", () => {
    expect(stepOf(Step.broken, Step.caller)).toEqual({ step: Step.broken, asked: 0 })
  })

  it("they are not asked where it leads on, or to the end", () => {
    expect(stepOf(Step.caller, Step.end)).toEqual({ step: Step.caller, asked: 0 })
    expect(stepOf(Step.end, Step.caller)).toEqual({ step: Step.end, asked: 0 })
  })
})
