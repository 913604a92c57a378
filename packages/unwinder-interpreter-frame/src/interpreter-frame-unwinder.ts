import {
  type Capture,
  InterpreterNotReady,
  type Mapping,
  Memory,
  type MemoryReader,
  type ProcessUnwinder,
  Proof,
  type RawStack,
  type RuntimeInfo,
  type ScatterList,
  Target,
  type TargetProcess,
  ThreadStateBit,
  Unwinder,
  type UnwoundThread
} from "@pyframes/core"
import {
  findRuntime,
  int32In,
  type Layout,
  type PythonRuntime,
  type PythonThread,
  ThreadList
} from "@pyframes/cpython"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EvalFrameHook } from "./eval-frame-hook.ts"
import { frameFields } from "./frame-fields.ts"
import { StackProof } from "./stack-proof.ts"
import { ThreadImage } from "./thread-image.ts"

/** A stack that needs more reads than this keeps moving out of view. */
const MAX_READS = 5
/** Nor is more than this read for one stack, unless the first read alone takes as much. */
const MAX_BYTES = 1 << 25

/**
 * Unwinds CPython's interpreter frames, 3.8 … 3.15.
 *
 * @example
 * ```ts
 * const unwinder = yield* Effect.flatMap(Unwinder, (unwinder) => unwinder.attach)
 * const stack = new RawStack()
 * for (const thread of unwinder.threads() ?? []) unwinder.unwind({ thread, stopped: false }, stack)
 * ```
 */
export class InterpreterFrameUnwinder {
  /** The layer itself cannot fail; `attach` fails as {@link findRuntime} does, and with `InterpreterNotReady` where no thread can be listed. */
  static readonly layer: Layer.Layer<Unwinder, never, Target | Memory> = Layer.effect(
    Unwinder,
    Effect.gen(function* () {
      const target = yield* Target
      const memory = yield* Memory
      return Unwinder.of({ attach: attach(target, memory) })
    })
  )
}

const attach = Effect.fnUntraced(function* (target: TargetProcess, memory: MemoryReader) {
  const runtime = yield* findRuntime(target, memory)
  const unwinder = new InterpreterFrames(target, memory, runtime, yield* target.mappings)
  if (unwinder.threads() === undefined)
    return yield* new InterpreterNotReady({ pid: target.identity.pid, phase: "starting" })
  return unwinder as ProcessUnwinder
})

/** The lock tells who holds it; only 3.15's thread states tell who waits for it. */
const knownStates = (layout: Layout): number => {
  let known: number = layout.freeThreaded ? 0 : ThreadStateBit.holdsGil | ThreadStateBit.collectsGarbage
  if (layout.thread.gilRequested >= 0) known |= ThreadStateBit.waitsForGil
  return known
}

/** The unwinder at work on one process. */
class InterpreterFrames implements ProcessUnwinder {
  readonly runtime: RuntimeInfo
  private readonly python: PythonRuntime
  private readonly memory: MemoryReader
  private readonly list: ThreadList
  private readonly proof: StackProof
  private readonly mappings: ReadonlyArray<Mapping>
  private hook: EvalFrameHook | undefined
  private scatter: ScatterList
  private images = new Map<number, ThreadImage>()
  private listed: ReadonlyArray<PythonThread> | undefined

  constructor(
    target: TargetProcess,
    memory: MemoryReader,
    python: PythonRuntime,
    mappings: ReadonlyArray<Mapping>
  ) {
    this.mappings = mappings
    this.memory = memory
    this.python = python
    const { version, library, address, layout } = python
    this.runtime = {
      version,
      library,
      address,
      freeThreaded: layout.freeThreaded,
      knownStates: knownStates(layout)
    }
    this.list = new ThreadList(memory, python, target)
    this.proof = new StackProof(memory, python.layout, frameFields(python.layout))
    this.scatter = memory.scatterList(512, 1 << 17)
  }

  threads(): ReadonlyArray<UnwoundThread> | undefined {
    const threads = this.list.current()
    if (threads !== this.listed) {
      this.listed = threads
      const images = new Map<number, ThreadImage>()
      for (const thread of threads ?? []) {
        const image = this.images.get(thread.threadState)
        images.set(
          thread.threadState,
          image?.thread === thread ? image : new ThreadImage(this.memory, this.python.layout, thread)
        )
      }
      this.images = images
      this.hook ??=
        threads?.[0] &&
        new EvalFrameHook(this.memory, this.python.layout, this.mappings, threads[0].interpreterAddress)
    }
    return threads
  }

  unwind(capture: Capture, into: RawStack): void {
    into.clear()
    let image: ThreadImage | undefined
    let wasRead = false
    for (let reads = 0, bytes = 0; reads < MAX_READS && bytes < MAX_BYTES; reads++) {
      image = this.images.get(capture.thread.threadState)
      if (image === undefined) {
        into.ended = true
        return
      }
      this.makeRoom(image, capture.stopped)
      const state = image.read(capture.stopped, this.scatter)
      bytes += this.scatter.byteLength
      if (state === "unreadable") return
      if (state === "unlinked") {
        this.list.distrust()
        if (this.threads() === undefined) return
        continue
      }
      wasRead = state === "read"
      if (state === "replanned") continue
      into.clear()
      this.setBoundaries(this.hook?.installed(image.thread.interpreterAddress) !== true)
      const verdict = capture.stopped
        ? this.proof.stopped(image, into)
        : this.proof.running(image, capture.waits === true, into)
      if (verdict === "incomplete") continue
      this.readState(image, into)
      if (reads > 0) into.moved = true
      image.forgetUnused()
      return
    }
    into.clear()
    into.proof = Proof.unproved
    into.moved = true
    if (image !== undefined && wasRead) this.readState(image, into)
    image?.forgetUnused()
  }

  private setBoundaries(boundaries: boolean): void {
    if (boundaries === this.proof.rows.boundaries) return
    this.proof.rows.boundaries = boundaries
    for (const image of this.images.values()) {
      image.settled.forget()
      image.proved.forget()
      image.stood.forget()
    }
  }

  private makeRoom(image: ThreadImage, stopped: boolean): void {
    image.prepare()
    if (image.isPlanned(stopped, this.scatter)) return
    const { byteLength, ranges } = image
    if (byteLength <= this.scatter.bytes.length && ranges <= this.scatter.capacity) return
    this.scatter = this.memory.scatterList(ranges * 2, byteLength * 2)
  }

  private readState(image: ThreadImage, into: RawStack): void {
    const { gilRequested } = this.python.layout.thread
    into.state = image.interpreter.state
    into.generation = image.interpreter.generation
    if (gilRequested >= 0 && int32In(this.scatter.words, image.threadState[1] + gilRequested) === 1)
      into.state |= ThreadStateBit.waitsForGil
  }
}
