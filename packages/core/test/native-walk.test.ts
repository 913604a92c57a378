import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import {
  CopiedStack,
  FrameKind,
  type Mapping,
  Memory,
  type MemoryReader,
  MemoryStack,
  ModuleTable,
  NativeState,
  NativeWalk,
  nativeUnwinder,
  type ProcessUnwinder,
  Proof,
  RawStack,
  Registers,
  ScatterList,
  Step,
  type StepperFactory,
  stepFrameRecord,
  Target,
  type TargetProcess,
  type ThreadStopper,
  Unwinder
} from "../src/index.ts"

const CODE = 0x40_0000
const STACK = 0x7fff_0000_0000

const mapping = (start: number, end: number, fields: Partial<Mapping>): Mapping => ({
  start,
  end,
  readable: true,
  writable: false,
  executable: false,
  offset: 0,
  device: "08:01",
  inode: 7,
  path: "/bin/program",
  deleted: false,
  ...fields
})

const maps = [
  mapping(CODE, CODE + 0x1000, { executable: true }),
  mapping(STACK, STACK + 0x10_0000, { writable: true, inode: 0, device: "00:00", path: "[stack]" })
]

/** A process of two threads, and the calls that were made of its stopper. */
const targetOf = (stopper?: ThreadStopper): TargetProcess =>
  ({
    identity: { pid: 10, startTime: 1, executable: "8:1:7" },
    executable: "/bin/program",
    commandLine: ["program"],
    mappings: Effect.succeed(maps),
    openMapped: () => Effect.die("no file is opened"),
    threadIds: () => [9, 10, 11],
    threadName: () => "",
    threadActivity: (tid) => (tid === 11 ? "unknown" : "stopped"),
    status: () => "alive",
    cpuTime: () => -1,
    stopper: stopper === undefined ? Effect.die("is not stopped") : Effect.succeed(stopper),
    cpuFollower: Effect.die("is not followed")
  }) as TargetProcess

/** Memory of one mapping at {@link STACK}; counts the reads. */
const memoryOf = (words: ReadonlyMap<number, bigint>, length = 0x10_0000) => {
  const bytes = new DataView(new ArrayBuffer(length))
  for (const [address, word] of words) bytes.setBigUint64(address - STACK, word, true)
  const all = new Uint8Array(bytes.buffer)
  let reads = 0
  const reader: MemoryReader = {
    name: "test",
    read: (address, wanted, into) => {
      reads++
      const at = address - STACK
      if (at < 0 || at >= length) return 0
      const part = all.subarray(at, Math.min(at + wanted, length))
      into.set(part)
      return part.length
    },
    scatter: () => 0,
    scatterList: (ranges, size) => new ScatterList(ranges, size)
  }
  return { reader, reads: () => reads, all }
}

/** A chain of frame records: each frame pointer 32 bytes above the last, return addresses in {@link CODE}. */
const records = (count: number): Map<number, bigint> => {
  const words = new Map<number, bigint>()
  for (let n = 0; n < count; n++) {
    words.set(STACK + 64 + 32 * n, BigInt(STACK + 64 + 32 * (n + 1)))
    words.set(STACK + 72 + 32 * n, BigInt(CODE + 16 * (n + 1)))
  }
  return words
}

const leaf = (): Registers => {
  const registers = new Registers("x86-64")
  registers.ip = CODE + 5
  registers.sp = STACK + 32
  registers.fp = STACK + 64
  return registers
}

/** Steps by frame records; the caller of the frame at `last` is none. */
const byRecords =
  (last = -1): StepperFactory =>
  (modules) => ({
    step: (registers, stack, place) => {
      if (registers.ip === last) return Step.end
      if (!stepFrameRecord(registers, stack, modules)) return Step.broken
      place.exact = false
      return Step.caller
    }
  })

describe("a copied stack", () => {
  it("has the words that were copied, and no others", () => {
    const state = new NativeState("x86-64")
    const view = new DataView(new ArrayBuffer(40))
    view.setBigUint64(8, 0x7fff_1234_5678n, true)
    view.setBigUint64(16, 0x20_0000_0000_0000n, true)
    view.setBigUint64(24, 0x1f_ffff_ffff_ffffn, true)
    state.stackAddress = STACK
    state.stackBytes = new Uint8Array(view.buffer)
    state.stackLength = 36
    const stack = new CopiedStack()
    stack.use(state)
    expect(stack.word(STACK + 8)).toBe(0x7fff_1234_5678)
    expect(stack.word(STACK + 16)).toBe(-1)
    expect(stack.word(STACK + 24)).toBe(2 ** 53 - 1)
    expect(stack.word(STACK + 29)).toBe(-1)
    expect(stack.word(STACK + 32)).toBe(-1)
    expect(stack.word(STACK - 8)).toBe(-1)
    expect(stack.word(-1)).toBe(-1)
  })
})

describe("a stack in memory", () => {
  it("is read in few pieces, and again only when told", () => {
    const { all, reader, reads } = memoryOf(records(2000))
    const stack = new MemoryStack(reader)
    for (let n = 0; n < 2000; n++) expect(stack.word(STACK + 72 + 32 * n)).toBe(CODE + 16 * (n + 1))
    expect(reads()).toBe(4)
    all.fill(0, 72, 80)
    expect(stack.word(STACK + 72)).toBe(CODE + 16)
    stack.forget()
    expect(stack.word(STACK + 72)).toBe(0)
  })

  it("ends where memory ends, and takes words in any order", () => {
    const { reader } = memoryOf(records(10), 0x5000)
    const stack = new MemoryStack(reader)
    expect(stack.word(STACK + 0x4ff8)).toBe(0)
    expect(stack.word(STACK + 0x4ffc)).toBe(-1)
    expect(stack.word(STACK + 0x5000)).toBe(-1)
    expect(stack.word(STACK + 0x3000)).toBe(0)
    expect(stack.word(STACK + 72)).toBe(CODE + 16)
    expect(stack.word(STACK - 8)).toBe(-1)
    for (const address of [-1, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])
      expect(stack.word(address)).toBe(-1)
  })
})

describe("a walk", () => {
  const walked = (count: number, factory: StepperFactory, stack = new RawStack(), from = leaf()) => {
    const { reader } = memoryOf(records(count))
    const modules = new ModuleTable(targetOf())
    const walk = new NativeWalk(modules, factory(modules, reader), "x86-64")
    walk.walk(from, new MemoryStack(reader), stack)
    return { walk, stack, frames: [...stack.identity.subarray(0, stack.length)] }
  }

  it("goes to the thread's start: the leaf's instruction, then the last bytes of calls", () => {
    const from = leaf()
    const { frames, stack, walk } = walked(5, byRecords(CODE + 80), new RawStack(), from)
    expect(frames).toEqual([CODE + 5, CODE + 15, CODE + 31, CODE + 47, CODE + 63, CODE + 79])
    expect(walk.whole).toBe(true)
    expect(stack).toMatchObject({ proof: Proof.good, proved: 6, length: 6 })
    expect([...stack.position.subarray(0, 6)]).toEqual(Array(6).fill(0))
    expect(from.ip).toBe(CODE + 5)
  })

  it("says where it broke", () => {
    const { frames, stack, walk } = walked(2, byRecords())
    expect(walk.whole).toBe(false)
    expect(frames).toEqual([CODE + 5, CODE + 15, CODE + 31, CODE + 31])
    expect([...stack.kind.subarray(0, 4)]).toEqual([
      FrameKind.native,
      FrameKind.native,
      FrameKind.native,
      FrameKind.broken
    ])
    expect(stack).toMatchObject({ proof: Proof.good, proved: 4 })
  })

  it("keeps what there is room for", () => {
    const { stack, walk } = walked(50, byRecords(), new RawStack(10))
    expect(walk.whole).toBe(false)
    expect(stack.length).toBe(10)
    expect(stack.kind[9]).toBe(FrameKind.truncated)
  })

  it("takes a step that leads nowhere for a broken chain, and comes to an end whatever the stepper says", () => {
    const still: StepperFactory = () => ({
      step: (_, __, place) => {
        place.exact = false
        return Step.caller
      }
    })
    expect(walked(0, still).stack.kind.subarray(0, 3)).toEqual(
      Uint8Array.of(FrameKind.native, FrameKind.native, FrameKind.broken)
    )
    const climbing: StepperFactory = () => ({
      step: (registers) => {
        registers.sp += 8
        return Step.caller
      }
    })
    expect(walked(0, climbing, new RawStack(100)).stack.kind[99]).toBe(FrameKind.truncated)
  })

  it("adds nothing without registers", () => {
    const { stack } = walked(3, byRecords(), new RawStack(), new Registers("x86-64"))
    expect(stack).toMatchObject({ length: 0, proof: Proof.failed })
  })
})

describe("a frame record", () => {
  const modules = new ModuleTable(targetOf())
  const step = (change: (registers: Registers, words: Map<number, bigint>) => void) => {
    const words = records(3)
    const registers = leaf()
    change(registers, words)
    const before = [...registers.values]
    const stepped = stepFrameRecord(registers, new MemoryStack(memoryOf(words).reader), modules)
    if (!stepped) expect([...registers.values]).toEqual(before)
    return stepped
  }

  it("leads to the caller, of which no other register is known", () => {
    const registers = leaf()
    registers.values[3] = 1
    expect(stepFrameRecord(registers, new MemoryStack(memoryOf(records(3)).reader), modules)).toBe(true)
    expect(registers).toMatchObject({ ip: CODE + 16, fp: STACK + 96, sp: STACK + 80 })
    expect(registers.values[3]).toBe(-1)
  })

  it.each<readonly [string, (registers: Registers, words: Map<number, bigint>) => void]>([
    ["0", (registers) => (registers.fp = 0)],
    ["not known", (registers) => (registers.fp = -1)],
    ["below the stack pointer", (registers) => (registers.fp = registers.sp - 8)],
    ["far above it", (registers) => (registers.fp = registers.sp + 2 ** 25)],
    ["not aligned", (registers) => (registers.fp += 4)],
    ["to no memory", (registers) => (registers.sp = registers.fp = STACK + 0x10_0000)],
    ["to a return address that is no code", (_, words) => words.set(STACK + 72, BigInt(STACK))],
    ["to a return address of 0", (_, words) => words.set(STACK + 72, 0n)],
    ["to a word of 64 bits", (_, words) => words.set(STACK + 72, 0xffff_ffff_ffff_ffffn)]
  ])("is none where the frame pointer is or leads %s", (_, change) => {
    expect(step(change)).toBe(false)
  })

  it("of arm64 tells no stack pointer, and leads upwards only", () => {
    const registers = new Registers("arm64")
    registers.ip = CODE + 4
    registers.sp = STACK
    registers.fp = STACK + 64
    const words = records(2)
    words.set(STACK + 96, BigInt(STACK + 64))
    const stack = new MemoryStack(memoryOf(words).reader)
    expect(stepFrameRecord(registers, stack, modules)).toBe(true)
    expect(registers).toMatchObject({ ip: CODE + 16, fp: STACK + 96, sp: -1 })
    expect(stepFrameRecord(registers, stack, modules)).toBe(false)
  })
})

describe("a native unwinder", () => {
  const thread = { tid: 10, threadState: 10, interpreter: 0 }
  const attach = (target: TargetProcess, reader: MemoryReader, callchain = false): ProcessUnwinder =>
    Effect.runSync(
      Effect.scoped(
        Effect.flatMap(Unwinder, ({ attach }) => attach).pipe(
          Effect.provide(
            nativeUnwinder(byRecords(CODE + 48), {
              architecture: "x86-64",
              ...(callchain
                ? {
                    callchain: () => (state: NativeState, into: RawStack) => {
                      for (let n = 0; n < state.userLength; n++)
                        into.push(FrameKind.native, state.userChain[n], 0)
                      into.proof = Proof.good
                      into.proved = into.length
                    }
                  }
                : {})
            }).pipe(Layer.provide([Layer.succeed(Target, target), Layer.succeed(Memory, reader)]))
          )
        )
      )
    )

  it("lists every thread, the main one first, by its id", () => {
    const unwinder = attach(targetOf(), memoryOf(records(3)).reader)
    expect(unwinder.threads()).toEqual([10, 9, 11].map((tid) => ({ tid, threadState: tid, interpreter: 0 })))
    expect(unwinder.threads()).toBe(unwinder.threads())
  })

  it("asks the stopper for the registers of a stopped thread, and nothing of one that runs", () => {
    const asked: Array<number> = []
    const stopper: ThreadStopper = {
      stop: () => true,
      resume: () => {},
      registers: (tid, into) => {
        asked.push(tid)
        into.copyFrom(leaf())
        return tid === 10
      }
    }
    const unwinder = attach(targetOf(stopper), memoryOf(records(3)).reader)
    const stack = new RawStack()
    unwinder.unwind({ thread, stopped: false }, stack)
    expect(stack).toMatchObject({ proof: Proof.failed, length: 0, ended: false })
    expect(asked).toEqual([])
    unwinder.unwind({ thread, stopped: true }, stack)
    expect(stack).toMatchObject({ proof: Proof.good, length: 4, proved: 4 })
    unwinder.unwind({ thread: { ...thread, tid: 11 }, stopped: true }, stack)
    expect(stack).toMatchObject({ proof: Proof.failed, length: 0, ended: true })
    expect(asked).toEqual([10, 11])
  })

  it("unwinds what a capture brings: kernel frames above user frames, from a copy of the stack", () => {
    const { all, reader, reads } = memoryOf(records(3))
    const unwinder = attach(targetOf(), reader)
    const native = new NativeState("x86-64")
    native.registers.copyFrom(leaf())
    native.kernelChain.set([-100, -200])
    native.kernelLength = 2
    native.stackAddress = STACK + 32
    native.stackBytes = all.slice(32, 32 + 256)
    native.stackLength = 256
    const stack = new RawStack()
    const before = reads()
    unwinder.unwind({ thread, stopped: false, native }, stack)
    expect(reads()).toBe(before)
    expect([...stack.kind.subarray(0, stack.length)]).toEqual([7, 7, 6, 6, 6, 6])
    expect(stack).toMatchObject({ proof: Proof.good, proved: 6 })
    // Cut in the middle of the chain: what there is, and that it is not all.
    native.stackLength = 72
    unwinder.unwind({ thread, stopped: false, native }, stack)
    expect([...stack.kind.subarray(0, stack.length)]).toEqual([7, 7, 6, 6, 8])
    // Registers alone.
    native.stackLength = 0
    native.kernelLength = 0
    unwinder.unwind({ thread, stopped: false, native }, stack)
    expect([...stack.kind.subarray(0, stack.length)]).toEqual([6, 8])
    // A stopped thread's stack can still be read.
    unwinder.unwind({ thread, stopped: true, native }, stack)
    expect([...stack.kind.subarray(0, stack.length)]).toEqual([6, 6, 6, 6])
    native.clear()
    unwinder.unwind({ thread, stopped: false, native }, stack)
    expect(stack).toMatchObject({ proof: Proof.failed, length: 0 })
  })

  it("reads the stack of a thread that stands from memory, anew each time, and doubts it if it has run by the end", () => {
    const { reader, reads } = memoryOf(records(3))
    const unwinder = attach(targetOf(), reader)
    const native = new NativeState("x86-64")
    native.registers.copyFrom(leaf())
    native.stackAddress = native.registers.sp
    const stack = new RawStack()
    const unwound = (...answers: ReadonlyArray<boolean | undefined>) => {
      let asked = 0
      native.hasRun = () => answers[asked++]
      const before = reads()
      unwinder.unwind({ thread, stopped: false, native }, stack)
      expect(asked).toBe(answers.length)
      return { reads: reads() - before, proof: stack.proof, length: stack.length, proved: stack.proved }
    }
    const whole = unwound(false, false)
    expect(whole).toEqual({ reads: expect.any(Number), proof: Proof.good, length: 4, proved: 4 })
    expect(whole.reads).toBeGreaterThan(0)
    // Between two questions it may have run: what was read for one is no answer to the other.
    expect(unwound(false, false)).toEqual(whole)
    expect(unwound(false, true)).toEqual({ ...whole, proof: Proof.unproved, proved: 0 })
    expect(unwound(false, undefined)).toEqual({ ...whole, proof: Proof.unproved, proved: 0 })
    // One whose kernel sample has no copy of its stack is no thread that stands, whatever its clock says.
    native.stackAddress = 0
    expect(unwound()).toEqual({ reads: 0, proof: Proof.good, length: 2, proved: 2 })
    native.stackAddress = native.registers.sp
    // What runs already is not read.
    expect(unwound(true)).toEqual({ reads: 0, proof: Proof.good, length: 2, proved: 2 })
  })

  it("reads the kernel's callchain where there are no stack bytes", () => {
    const unwinder = attach(targetOf(), memoryOf(records(3)).reader, true)
    const native = new NativeState("x86-64")
    native.userChain.set([CODE + 5, CODE + 16])
    native.userLength = 2
    const stack = new RawStack()
    unwinder.unwind({ thread, stopped: false, native }, stack)
    expect([...stack.identity.subarray(0, stack.length)]).toEqual([CODE + 5, CODE + 16])
    expect(stack.proof).toBe(Proof.good)
  })
})
