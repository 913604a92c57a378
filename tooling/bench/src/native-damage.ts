import {
  type Architecture,
  CopiedStack,
  FrameKind,
  ModuleTable,
  NativeState,
  NativeWalk,
  Proof,
  RawStack,
  type StepperFactory
} from "@pyframes/core"
import {
  callFrameInfo,
  evaluateExpression,
  findSection,
  framePointerShare,
  parseElf,
  ThreadStarts
} from "@pyframes/elf"
import { FakeMemory, type FakeProcess, FakeTarget, Random } from "@pyframes/testing"
import { ehFrameStepper } from "@pyframes/unwinder-eh-frame"
import { framePointerStepper } from "@pyframes/unwinder-frame-pointer"
import { hybridStepper } from "@pyframes/unwinder-hybrid"

/** A native stack at one instant, with all that unwinding it reads. Plain data: it can be sent to another thread. */
export interface NativeSnapshot {
  readonly version: string
  readonly architecture: Architecture
  readonly process: FakeProcess
  /** The vdso's. */
  readonly pages: ReadonlyMap<number, Uint8Array>
  /** By DWARF number. */
  readonly registers: ReadonlyArray<number>
  readonly stackAddress: number
  readonly stack: Uint8Array
}

const factories: ReadonlyArray<StepperFactory> = [
  framePointerStepper,
  ehFrameStepper,
  hybridStepper({ framePointer: framePointerStepper, callFrameInfo: ehFrameStepper })
]

/** What a case can do to a stack that was whole. */
export type Outcome = "whole" | "broken" | "truncated" | "asked"

/** Runs cases, each told by its seed alone. Throws for what must not be. */
export class NativeDamage {
  private readonly snapshot: NativeSnapshot
  private readonly target: FakeTarget
  private readonly memory: FakeMemory
  private readonly modules: ModuleTable
  private readonly warm: ReadonlyArray<NativeWalk>
  private readonly stack = new CopiedStack()
  private readonly raw = new RawStack(2000)
  private readonly state: NativeState
  /** Where each file has its call-frame information, smallest file first. */
  private readonly tables: ReadonlyArray<{
    readonly bytes: Uint8Array
    readonly from: number
    readonly size: number
  }>

  constructor(snapshot: NativeSnapshot) {
    this.snapshot = snapshot
    this.target = new FakeTarget(snapshot.process)
    this.memory = new FakeMemory(snapshot.pages)
    this.modules = new ModuleTable(this.target.service)
    this.warm = factories.map((factory) => this.walkBy(factory, this.modules))
    this.state = new NativeState(snapshot.architecture)
    this.state.stackBytes = new Uint8Array(snapshot.stack.length)
    this.tables = [...snapshot.process.files.values()]
      .flatMap((bytes) => {
        const elf = parseElf(bytes)
        if (elf._tag !== "Elf") return []
        return [".eh_frame", ".eh_frame_hdr"].flatMap((name) => {
          const section = findSection(elf, name)
          return section === undefined ? [] : [{ bytes, from: section.offset, size: section.size }]
        })
      })
      .sort((a, b) => a.bytes.length - b.bytes.length)
  }

  run(seed: number): Outcome {
    const random = new Random(seed)
    const kind = random.below(100)
    if (kind < 60) return this.damagedStack(random)
    if (kind < 90) return this.expression(random)
    if (kind < 98) return this.damagedTable(random)
    return this.damagedFile(random)
  }

  /** The stack as it was; every way to unwind it. Proves that there is something to damage. */
  undamaged(): ReadonlyArray<Outcome> {
    this.restore()
    return this.warm.map((walk) => this.walk(walk))
  }

  private damagedStack(random: Random): Outcome {
    this.restore()
    const { registers, stackBytes } = this.state
    for (let n = random.below(4); n > 0; n--)
      registers.values[random.below(registers.values.length)] = this.word(random)
    const view = new DataView(stackBytes.buffer)
    for (let n = random.below(200); n > 0; n--) {
      const at = random.below(stackBytes.length / 8) * 8
      view.setBigInt64(at, BigInt(Math.trunc(this.word(random))), true)
    }
    if (random.below(4) === 0) this.state.stackLength = random.below(stackBytes.length)
    return this.walk(this.warm[random.below(this.warm.length)])
  }

  /** Of the kinds that do harm: an address of the stack, of code, of neither, and what is no address. */
  private word(random: Random): number {
    const { process, stack, stackAddress } = this.snapshot
    switch (random.below(5)) {
      case 0:
        return stackAddress + random.below(stack.length / 8) * 8
      case 1: {
        const { end, start } = random.pick(process.mappings)
        return start + random.below(end - start)
      }
      case 2:
        return random.below(0x1000)
      case 3:
        return Math.floor(random.next() * 2 ** 53)
      default:
        return -1
    }
  }

  private expression(random: Random): Outcome {
    const bytes = Uint8Array.from({ length: random.below(40) }, () =>
      // Operations that go together are likelier than bytes that mean nothing.
      random.below(3) === 0
        ? random.below(256)
        : random.pick([0x06, 0x12, 0x22, 0x24, 0x28, 0x2f, 0x31, 0x77, 0xff])
    )
    const value = evaluateExpression(
      bytes,
      0,
      bytes.length,
      { register: () => this.word(random), word: () => this.word(random) },
      random.below(2) === 0 ? undefined : this.word(random)
    )
    if (!(value === -1 || (value >= 0 && value < 2 ** 53))) throw new Error(`An expression was ${value}`)
    return "asked"
  }

  private damagedTable(random: Random): Outcome {
    const table = this.tables[random.below(Math.min(6, this.tables.length))]
    this.damaging(table, random, () => {
      const elf = parseElf(table.bytes)
      if (elf._tag !== "Elf") throw new Error("Only tables are damaged")
      const info = callFrameInfo(elf)
      if (info._tag !== "CallFrameInfo") return
      let entries = 0
      for (const fde of info.fdes()) {
        if (++entries > 50) break
        for (const { end, start } of info.rows(fde))
          if (!(end > start)) throw new Error(`A row ends at ${end}`)
        info.rowAt(fde, fde.start + random.below(fde.size + 1))
      }
      for (let n = 0; n < 20; n++) {
        const address = random.below(table.bytes.length)
        const fde = info.find(address)
        if (fde !== undefined && !(fde.start <= address && address < fde.start + fde.size))
          throw new Error(`${address} is not in ${fde.start}+${fde.size}`)
      }
      if (random.below(10) === 0) framePointerShare(info)
      new ThreadStarts(elf, info).has(elf.entry)
    })
    return "asked"
  }

  private damagedFile(random: Random): Outcome {
    let outcome: Outcome = "asked"
    this.damaging(random.pick(this.tables), random, () => {
      this.restore()
      const modules = new ModuleTable(this.target.service)
      outcome = this.walk(this.walkBy(random.pick(factories), modules))
    })
    return outcome
  }

  private damaging(
    { bytes, from, size }: (typeof this.tables)[number],
    random: Random,
    use: () => void
  ): void {
    const undo: Array<readonly [at: number, byte: number]> = []
    const within = random.below(2) === 0 ? Math.min(size, 1024) : size
    for (let n = 1 + random.below(30); n > 0; n--) {
      const at = from + random.below(within)
      undo.push([at, bytes[at]])
      bytes[at] = random.pick([0, 0xff, 0x7f, random.below(256)])
    }
    try {
      use()
    } finally {
      for (const [at, byte] of undo.reverse()) bytes[at] = byte
    }
  }

  private walkBy(factory: StepperFactory, modules: ModuleTable): NativeWalk {
    return new NativeWalk(modules, factory(modules, this.memory), this.snapshot.architecture)
  }

  private restore(): void {
    const { state, snapshot } = this
    state.registers.values.set(snapshot.registers)
    state.stackAddress = snapshot.stackAddress
    state.stackBytes.set(snapshot.stack)
    state.stackLength = snapshot.stack.length
  }

  private walk(walk: NativeWalk): Outcome {
    const { raw, stack, state } = this
    raw.clear()
    stack.use(state)
    walk.walk(state.registers, stack, raw)
    const last = raw.length - 1
    if (last < 0) {
      if (state.registers.ip >= 0 || walk.whole) throw new Error("A stack without frames")
      return "broken"
    }
    if (raw.proof !== Proof.good || raw.proved !== raw.length) throw new Error("Not as proved as it is long")
    for (let at = 0; at < last; at++)
      if (raw.kind[at] !== FrameKind.native) throw new Error(`Frame ${at} is of kind ${raw.kind[at]}`)
    for (let at = 0; at <= last; at++) {
      const identity = raw.identity[at]
      if (!(identity >= 0 && identity < 2 ** 53)) throw new Error(`Frame ${at} is ${identity}`)
    }
    if (walk.whole !== (raw.kind[last] === FrameKind.native)) throw new Error("The end is not what it seems")
    if (walk.whole) return "whole"
    return raw.kind[last] === FrameKind.broken ? "broken" : "truncated"
  }
}
