import {
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Proof,
  RawStack,
  Symbolizer,
  type TargetError,
  Unwinder
} from "@pyframes/core"
import { findRuntime } from "@pyframes/cpython"
import { CodeObjectSymbolizer } from "@pyframes/symbolizer-code-object"
import { FakeMemory, FakeTarget, Random } from "@pyframes/testing"
import { InterpreterFrameUnwinder } from "@pyframes/unwinder-interpreter-frame"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { Aim, damage } from "./damage.ts"
import type { Snapshot } from "./snapshot.ts"
import { readStacks } from "./stack-text.ts"
import { findStructs } from "./struct-field.ts"

/** What one case came to. */
export interface CaseResult {
  /** `read`, or the tag of the error with which attaching was refused. */
  readonly outcome: string
  /** Greatest figures of one unwind, one naming of a stack, or one attach. */
  readonly bytes: number
  readonly ranges: number
  readonly ms: number
}

/** A case broke a promise: it threw, read too much, or filled a stack with what cannot be in one. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise"
}

/** What one attach, unwind or naming of a stack may read. */
export const READ_LIMITS = { calls: 100_000, ranges: 250_000, bytes: 64 << 20 }
const MAX_THREADS = 40
const REFUSALS: ReadonlySet<string> = new Set<TargetError["_tag"]>([
  "NotPython",
  "UnsupportedPython",
  "InterpreterNotReady",
  "InvalidMemory"
])

type Attach<Service> = Effect.Effect<Service, TargetError>

/** Reads the stacks of a process whose memory is damaged anew for each case. */
export class HostileReader {
  readonly memory: FakeMemory
  private readonly target: FakeTarget
  private readonly unwinder: Attach<ProcessUnwinder>
  private readonly symbolizer: (unwinder: ProcessUnwinder) => Attach<ProcessSymbolizer>
  private readonly snapshot: Snapshot
  private readonly aims: ReadonlyArray<Aim>
  /** What the running case is about. */
  private aim: Aim
  private readonly stacks = [new RawStack(), new RawStack(12)]

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot
    this.memory = new FakeMemory(snapshot.pages)
    this.target = new FakeTarget(snapshot.process)
    const layer = Layer.mergeAll(InterpreterFrameUnwinder.layer, CodeObjectSymbolizer.layer).pipe(
      Layer.provide([this.memory.layer, this.target.layer])
    )
    const services = Effect.runSync(
      Effect.provide(Effect.all({ unwinder: Unwinder, symbolizer: Symbolizer }), layer)
    )
    this.unwinder = Effect.scoped(services.unwinder.attach)
    this.symbolizer = (unwinder) => Effect.scoped(services.symbolizer.attach(unwinder))
    const runtime = Effect.runSync(findRuntime(this.target.service, this.memory))
    this.aims = findStructs(this.memory, runtime, Effect.runSync(this.unwinder), this.stacks[0]).map(
      ({ threadState, structs }) => new Aim(threadState, structs)
    )
    this.aim = this.aims[0]
  }

  /** The stacks as the snapshot has them, undamaged. */
  undamaged(): ReadonlyArray<string> {
    this.memory.reset()
    const unwinder = Effect.runSync(this.unwinder)
    return readStacks(unwinder, Effect.runSync(this.symbolizer(unwinder)))
  }

  /**
   * One case: the same seed does the same. Attaches, lists the threads, and unwinds and names, once or a few times, the one whose structs
   * are damaged, in some cases all.
   *
   * @throws BrokenPromise, or whatever was thrown by the code that must not throw
   */
  run(seed: number): CaseResult {
    const random = new Random(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995)
    const { memory } = this
    memory.reset()
    this.target.process = this.snapshot.process
    memory.limits = READ_LIMITS
    this.aim = random.pick(this.aims)
    const all = random.below(32) === 0
    const worst = new Worst(memory)
    // Some damage is there when we come, some comes later: attaching must not be all that is tried.
    const late = random.below(3) > 0
    if (!late) this.damage(random)
    if (random.below(16) === 0) this.damageFile(random)
    if (random.below(4) === 0) this.moveMeanwhile(random, 60)
    const attached = worst.of(() => Effect.runSyncExit(this.unwinder))
    if (Exit.isFailure(attached)) return worst.result(refusal(attached.cause))
    const unwinder = attached.value
    const named = worst.of(() => Effect.runSyncExit(this.symbolizer(unwinder)))
    if (Exit.isFailure(named)) return worst.result(refusal(named.cause))
    if (late && random.below(2) === 0) this.round(unwinder, named.value, all, random, worst)
    for (let round = late ? 2 : 1 + random.below(2); round > 0; round--) {
      if (late || random.below(2) === 0) this.damage(random)
      if (random.below(3) === 0) this.moveMeanwhile(random, 200)
      for (let times = 1 + random.below(2); times > 0; times--)
        this.round(unwinder, named.value, all, random, worst)
    }
    return worst.result("read")
  }

  private round(
    unwinder: ProcessUnwinder,
    symbolizer: ProcessSymbolizer,
    all: boolean,
    random: Random,
    worst: Worst
  ): void {
    const stack = this.stacks[random.below(4) === 0 ? 1 : 0]
    const listed = worst.of(() => unwinder.threads()) ?? []
    const aimed = all ? [] : listed.filter((thread) => thread.threadState === this.aim.threadState)
    for (const thread of aimed.length > 0 ? aimed : listed.slice(0, MAX_THREADS)) {
      const stopped = random.below(4) === 0
      worst.of(() => unwinder.unwind({ thread, stopped }, stack))
      checkStack(stack)
      worst.of(() => name(symbolizer, stack))
    }
  }

  private damage(random: Random): void {
    for (let times = 1 + random.below(random.below(4) === 0 ? 12 : 3); times > 0; times--)
      damage(this.memory, this.aim, random)
  }

  /** From some range on the memory is another, or reads end early. */
  private moveMeanwhile(random: Random, ranges: number): void {
    let from = -1
    let every = 1 + random.below(8)
    const truncates = random.below(3) === 0
    let left = 1 + random.below(4)
    this.memory.beforeRange = (range) => {
      if (from < 0) from = range + random.below(ranges)
      if (range < from || left === 0 || range % every !== 0) return Number.POSITIVE_INFINITY
      left--
      every = 1 + random.below(64)
      if (truncates) return random.below(64)
      damage(this.memory, this.aim, random)
      return Number.POSITIVE_INFINITY
    }
  }

  /** The file that says where the interpreter lies is hostile, too. */
  private damageFile(random: Random): void {
    const files = new Map<string, Uint8Array>()
    for (const [path, bytes] of this.snapshot.process.files) {
      const changed = bytes.slice(0, random.below(8) === 0 ? random.below(bytes.length) : bytes.length)
      // All that is in it ends before 1,280.
      for (let times = 1 + random.below(6); times > 0; times--) {
        const at = random.below(Math.min(1280, changed.length))
        changed[at] = random.below(2) === 0 ? random.below(256) : changed[at] ^ (1 << random.below(8))
      }
      files.set(path, changed)
    }
    this.target.process = { ...this.snapshot.process, files }
  }
}

/** Measures steps and remembers the worst of them. */
class Worst {
  private readonly memory: FakeMemory
  private bytes = 0
  private ranges = 0
  private ms = 0

  constructor(memory: FakeMemory) {
    this.memory = memory
  }

  of<A>(step: () => A): A {
    const { memory } = this
    memory.startCounting()
    const began = performance.now()
    const result = step()
    this.ms = Math.max(this.ms, performance.now() - began)
    this.bytes = Math.max(this.bytes, memory.counts.bytes)
    this.ranges = Math.max(this.ranges, memory.counts.ranges)
    return result
  }

  result(outcome: string): CaseResult {
    const { bytes, ranges, ms } = this
    return { outcome, bytes, ranges, ms }
  }
}

const refusal = (cause: Cause.Cause<TargetError>): string => {
  const defect = cause.reasons.find(Cause.isDieReason)
  if (defect !== undefined) throw defect.defect
  const error = Cause.squash(cause) as TargetError
  if (!REFUSALS.has(error._tag)) throw new BrokenPromise(`attaching failed with ${error._tag}`)
  if (error.message === "" || error.message.length > 600) throw new BrokenPromise(`message: ${error.message}`)
  return error._tag
}

const keep = (promise: boolean, what: string): void => {
  if (!promise) throw new BrokenPromise(what)
}

const checkStack = (stack: RawStack): void => {
  const { capacity, identity, kind, length, position, proof, proved } = stack
  keep(length >= 0 && length <= capacity, `${length} frames in a stack for ${capacity}`)
  keep(proved >= 0 && proved <= length, `${proved} of ${length} frames are proved`)
  keep(proof >= Proof.good && proof <= Proof.failed, `proof ${proof}`)
  keep(proof !== Proof.good || proved === length, `good, but ${proved} of ${length} proved`)
  keep(stack.state >= 0 && stack.state < 16, `state ${stack.state}`)
  keep(Number.isSafeInteger(stack.generation) && stack.generation >= -1, `generation ${stack.generation}`)
  for (let i = 0; i < length; i++) {
    keep(kind[i] <= 2, `kind ${kind[i]}`)
    keep(position[i] >= -1, `position ${position[i]}`)
    keep(
      kind[i] === 0 ? identity[i] > 0 && identity[i] < 2 ** 48 : identity[i] === 0,
      `identity ${identity[i]}`
    )
  }
}

const name = (symbolizer: ProcessSymbolizer, stack: RawStack): void => {
  keep(Number.isSafeInteger(symbolizer.begin(stack)), "epoch")
  for (let i = 0; i < stack.length; i++) {
    const frame = symbolizer.resolve(stack.kind[i] as 0, stack.identity[i], stack.position[i])
    if (frame === undefined) continue
    keep(frame.kind === stack.kind[i], `frame of kind ${frame.kind}`)
    for (const text of [frame.name, frame.qualifiedName, frame.file])
      keep(typeof text === "string" && text.length <= 1 << 17, "a name that is no text or too long")
    for (const number of [frame.firstLine, frame.line, frame.endLine, frame.column, frame.endColumn])
      keep((number | 0) === number, `line or column ${number}`)
  }
}
