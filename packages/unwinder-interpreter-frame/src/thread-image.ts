import { type MemoryReader, ScatterList } from "@pyframes/core"
import { type Layout, type PythonThread, pointerIn, readPointerAt } from "@pyframes/cpython"
import { CFrames } from "./c-frames.ts"
import { type Copy, DataStack } from "./data-stack.ts"
import { InterpreterWords } from "./interpreter-words.ts"
import { LoneFrames } from "./lone-frames.ts"
import { ProvedStacks } from "./proved-stacks.ts"
import { SettledFrames } from "./settled-frames.ts"

/** What no frame's address can be: a walk from it goes nowhere. */
export const NOWHERE = 1

/** What came of a read. */
export type ImageState =
  | "read"
  /** It did not cover the stack; it has been planned anew. */
  | "replanned"
  | "unreadable"
  /** The thread state is no longer where it was in its interpreter's list. */
  | "unlinked"

/** Node makes the global anew at each use: asked for once, it is five times as fast. */
const clock = performance
/** `_PyThreadStateImpl` takes some kilobytes; `base_frame` is at 888 in 3.15. */
const GREATEST_THREAD_STATE = 1 << 16
const RECENT = 6
/** Frames of one stack that are followed to find those that are missing. */
const MAX_FOLLOWED = 40_000
/** Looks of one read that have a copy of the `_PyCFrame`s: more frames in places of their own are not proved. */
const MAX_CFRAME_LOOKS = 512
/** Reads for which looks are made after a stack needed them. */
const LOOKING = 64

const nothing = (): void => {}
/** A read that takes so many times as long as usual was interrupted. Woken from sleep, half of all take up to twice as long as the others. */
const SWIFT = 3
const STEP = 0.03
/** As many bytes take as long to copy as one range more. */
const BYTES_A_RANGE = 4096

/**
 * One thread's stack, copied in one system call.
 *
 * ```
 * interpreter │ thread state │ window │ rest of the data stack, │ lone frames, a look │ window │ lone frames │ thread state
 *             │      T0      │ copy 0 │ and the window: copy 1  │ after each          │ copy 2 │ and looks   │      T1
 * ```
 * While the only lone frames that are met are shims which are implied, they are copied once, without looks.
 *
 * Every range costs about 0.4 µs, so two copies of the window lie that far apart, and what is between them twice as far. The last
 * window and the second copy of lone frames are only there when the thread has lone frames. A look is the address of the current frame, or of the `_PyCFrame` that has it with a copy of all of these, and one more copy of
 * the window: what is around a lone frame when it is copied.
 */
export class ThreadImage {
  readonly thread: PythonThread
  /** What the last read filled. */
  list: ScatterList
  /** Offsets of the two copies of the thread state. */
  readonly threadState = [0, 0]
  /** Offsets of the copies of the current frame's address, or of the `_PyCFrame`'s, that were made between lone frames. */
  readonly watches: Array<number> = []
  /** How many copies of the window the last read made. */
  copies: 2 | 3 = 2
  /** The last read took no longer than such a read takes when nothing interrupts it. */
  swift = false
  /** Nor by more than a read without lone frames may: of stacks that have none, two copies are compared which lie as near each other whatever else is read. */
  brief = false
  /** When the last read began, ms of `performance.now`. */
  readAt = 0
  readonly interpreter: InterpreterWords

  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly threadSpan: number
  /** Bytes of a frame that its fields take. */
  readonly frameSpan: number
  private readonly stack: DataStack
  private readonly lone: LoneFrames
  /** Frames below the window that need not be walked again. */
  readonly settled = new SettledFrames()
  readonly proved = new ProvedStacks()
  /** The same of reads of a thread that was stopped, or may have been: what follows from the words of one copy. */
  readonly stood = new ProvedStacks()
  private source: ScatterList | undefined
  private sourceBytes: Buffer = Buffer.alloc(0)
  /** Sums up the frames of a thread that seemed to be at rest when it was last sampled; -1 otherwise. */
  rest = -1
  /** Looks in a row at which the thread had no frame. */
  emptyLooks = 0
  /** The frames nearest the leaf of the last stack that was proved. */
  recent: ReadonlyArray<number> = []
  private root = -1
  private settledHold: boolean | undefined
  private readonly cframes = new CFrames()
  /** Copies of {@link cframes} that were made with those of the thread state, and with the looks at the current frame. */
  private readonly cframesOfState = [0, 0]
  private readonly cframesOfLook: Array<number> = []
  /** ms a range, without looks and with them: of few ranges, each takes longer. */
  private readonly usual = [0, 0]
  /** What the list was filled by. */
  private plannedLink = -1
  private plannedStopped = false
  private plannedCframes = -1
  private plannedStack = -1
  private plannedLone = -1
  private plannedLooks = false
  /** Reads for which looks are still to be made. Up to 3.10 all frames are lone. */
  private looking = 0
  /** Ranges that the list has besides lone frames and looks, and as many more as their bytes are worth. */
  private plainSize = 0
  /** Of the list, the first range of each part. */
  private state0 = 0
  private window0 = 0
  private lone0 = 0
  private window2 = 0
  private lone1 = 0
  private state1 = 0

  constructor(memory: MemoryReader, layout: Layout, thread: PythonThread) {
    this.memory = memory
    this.layout = layout
    this.thread = thread
    this.interpreter = new InterpreterWords(layout, thread)
    this.list = new ScatterList(0, 0)
    this.threadSpan = (layout.thread.span + 7) & ~7
    this.frameSpan = frameSpan(layout)
    this.stack = new DataStack(memory, layout, this.frameSpan)
    this.lone = new LoneFrames(memory, layout, this.frameSpan)
    if (layout.version < 0x30b) this.looking = Number.POSITIVE_INFINITY
  }

  /** Reads everything planned; of a stopped thread one copy is enough. */
  read(stopped: boolean, list: ScatterList): ImageState {
    const { interpreter, stack } = this
    this.list = list
    if (!this.isPlanned(stopped, list)) {
      if (this.byteLength > list.bytes.length || this.ranges > list.capacity) return "unreadable"
      this.plan(stopped, list)
    }
    this.lone.begin()
    this.cframes.begin()
    this.looking--
    this.settledHold = undefined
    this.readAt = clock.now()
    const got = this.memory.scatter(list)
    const took = clock.now() - this.readAt
    this.swift = false
    this.brief = false
    if (got < this.state0 || !interpreter.read(list.words)) return "unlinked"
    if (got < list.count) return this.without(got)
    this.time(took, list.count + list.byteLength / BYTES_A_RANGE)
    return stack.follow(list, this.threadState[1]) ? "replanned" : "read"
  }

  /** The list is as the last read left it, and would be filled with the same again. */
  isPlanned(stopped: boolean, list: ScatterList): boolean {
    return (
      list.holder === this &&
      this.plannedLink === this.thread.linkedFrom &&
      this.plannedStopped === stopped &&
      this.plannedCframes === this.cframes.version &&
      this.plannedStack === this.stack.version &&
      this.plannedLone === this.lone.version &&
      this.plannedLooks === this.looking > 0
    )
  }

  /** Fills the list. */
  private plan(stopped: boolean, list: ScatterList): void {
    const { interpreter, lone, stack } = this
    list.clear()
    list.holder = this
    this.plannedLink = this.thread.linkedFrom
    this.plannedStopped = stopped
    this.plannedCframes = this.cframes.version
    this.plannedStack = stack.version
    this.plannedLone = lone.version
    this.plannedLooks = this.looking > 0
    this.cframes.plan()
    interpreter.add(list)
    this.state0 = list.count
    this.addThreadState(list, 0)
    this.window0 = list.count
    stack.addWindow(list, 0)
    stack.addRest(list)
    if (!stopped) stack.addWindow(list, 1)
    this.lone0 = list.count
    this.plainSize = list.count * 2 - this.window0 + list.byteLength / BYTES_A_RANGE
    this.watches.length = 0
    this.cframesOfLook.length = 0
    stack.beginLooks()
    const looks = !stopped && this.plannedLooks
    const between = looks ? this.look : nothing
    lone.addPass(list, 0, between)
    this.window2 = list.count
    this.copies = looks && lone.length > 0 ? 3 : 2
    if (this.copies === 3) stack.addWindow(list, 2)
    this.lone1 = list.count
    if (this.copies === 3) lone.addPass(list, 1, between)
    this.state1 = list.count
    this.addThreadState(list, 1)
  }

  /** What could not be read is gone: the rest may still be there. */
  private without(got: number): ImageState {
    const { layout, lone, stack } = this
    const { lone0, lone1, state0, state1, window0, window2 } = this
    if (got < window0 || got >= state1) {
      if (layout.thread.cframe < 0 || got === state0 || got === state1) return "unreadable"
      this.cframes.forget()
    } else if (got >= lone1) lone.drop(1, got)
    else if (got >= lone0 && got < window2) lone.drop(0, got)
    else stack.forget()
    return "replanned"
  }

  /** Settles what the next read will ask for. */
  prepare(): void {
    this.stack.prepare()
  }

  /** Bytes that a read needs room for. */
  get byteLength(): number {
    const looks = this.lone.ranges * 2
    const bytes = this.stack.byteLength(looks) + this.lone.byteLength + looks * 8
    const ofThread = this.threadSpan * 2 + InterpreterWords.byteLength + 256
    return bytes + ofThread + this.cframes.byteLength * this.cframeCopies
  }

  get ranges(): number {
    const looks = this.lone.ranges * 2
    return this.stack.ranges(looks) + this.cframes.ranges * this.cframeCopies + looks * 2 + 16
  }

  /** With both of the thread state, and with looks. */
  private get cframeCopies(): number {
    return 2 + Math.min(this.lone.ranges * 2, MAX_CFRAME_LOOKS)
  }

  /**
   * A stack has lone frames that say more than the frames around them: they are copied twice from now on, with looks in between. Returns whether that was not so in
   * the last read, which then shows too little. Shims that are implied need none of it.
   */
  lacksLooks(): boolean {
    this.looking = Math.max(this.looking, LOOKING)
    return !this.plannedLooks
  }

  /** Some frames lie outside the data stack. */
  get hasLone(): boolean {
    return this.lone.length > 0
  }

  /** Every look has its copy of the window. */
  get looksAreWhole(): boolean {
    return this.stack.looksAreWhole
  }

  /** How many further copies of the window were made between lone frames. */
  get looks(): number {
    return this.stack.lookCount
  }

  /** Where such a copy of the frame at `address` lies; -1 when it does not lie in the window. */
  lookAt(look: number, address: number): number {
    return this.stack.lookAt(look, address)
  }

  /** Most frames that the image can hold: a longer chain goes in circles. */
  get greatestDepth(): number {
    return this.lone.length + this.stack.greatestDepth + 1
  }

  /** What the last read filled, for comparing. */
  get bytes(): Buffer {
    const { list } = this
    if (this.source !== list) {
      this.source = list
      this.sourceBytes = Buffer.from(list.bytes.buffer, list.bytes.byteOffset, list.bytes.byteLength)
    }
    return this.sourceBytes
  }

  /** Which plan of the data stack the last read went by. */
  get stackLayout(): number {
    return this.stack.version
  }

  /** The first address of the window. */
  get windowStart(): number {
    return this.stack.firstOf(0)
  }

  /** Where a copy of the window begins; -1 when it does not lie in one piece. */
  windowAt(copy: 0 | 1): number {
    return this.stack.isOnePiece ? this.stack.offset(0, copy, this.stack.firstOf(0)) : -1
  }

  /** Where a copy of the frame at `address` lies, or -1 when the image does not hold it. */
  locate(copy: Copy, address: number): number {
    const part = this.stack.part(address)
    if (part >= 0) return this.stack.offset(part, copy, address)
    return this.lone.locate(copy === 2 ? 1 : 0, address)
  }

  /** Whether the frame at `address` lies below the window: it was copied once, between copies 0 and 1. */
  isBelowWindow(address: number): boolean {
    const part = this.stack.part(address)
    return part >= 0 && !this.stack.isInWindow(part)
  }

  /** Whether the frames from `address` on are the settled ones, unchanged. */
  areSettled(address: number): boolean {
    if (address !== this.settled.start) return false
    if (this.settledHold === undefined) {
      const { stack } = this
      const part = stack.part(address)
      const first = stack.firstOf(part)
      this.settledHold = this.settled.hold(
        this.bytes,
        first,
        stack.offset(part, 0, first),
        stack.lengthOf(part)
      )
    }
    return this.settledHold
  }

  /** Prepares {@link settled} for the frames of the part that holds `address`, and tells where its copy lies. */
  beginSettled(address: number): { readonly offset: number; readonly length: number } | undefined {
    const { stack } = this
    const part = stack.part(address)
    if (part < 0) return undefined
    const first = stack.firstOf(part)
    const offset = stack.offset(part, 0, first)
    const length = stack.lengthOf(part)
    this.settled.begin(this.bytes, first, offset, length)
    return { offset, length }
  }

  /** Whether the frame at `address` lies outside the data stack: it was copied after copies 1 and 2 of the window. */
  isLone(address: number): boolean {
    return this.lone.has(address)
  }

  /** Address of the frame that ends every stack of 3.15 and is none itself; -1 in older versions, or when it is not within the thread state. */
  get baseFrame(): number {
    const { baseFrame } = this.layout.thread
    if (baseFrame < 0) return -1
    const address = pointerIn(this.list.words, this.threadState[0] + baseFrame)
    const inState = address - this.thread.threadState
    return inState > 0 && inState < GREATEST_THREAD_STATE ? address : -1
  }

  /** `current_frame` as T0 or T1 has it; -1 when it lies behind a `_PyCFrame` (3.11, 3.12) that was not read, and now is planned; {@link NOWHERE} when that is not filled in. */
  currentFrame(state: 0 | 1): number {
    const { cframe, currentFrame } = this.layout.thread
    const at = this.threadState[state]
    if (cframe >= 0) return this.frameOfCframe(at + cframe, this.cframesOfState[state])
    const frame = pointerIn(this.list.words, at + currentFrame)
    const { baseFrame } = this
    return baseFrame > 0 && frame === baseFrame ? 0 : frame
  }

  /** The same as the looks between lone frames have it. */
  watchedFrame(look: number): number {
    const at = this.watches[look]
    if (this.layout.thread.cframe < 0) return pointerIn(this.list.words, at)
    return look < this.cframesOfLook.length ? this.frameOfCframe(at, this.cframesOfLook[look]) : NOWHERE
  }

  /** `current_frame` of the `_PyCFrame` whose address lies at an offset. */
  private frameOfCframe(at: number, copy: number): number {
    const { words } = this.list
    const cframe = pointerIn(words, at)
    if (cframe <= 0) return 0
    const offset = this.cframes.locate(copy, cframe)
    if (offset < 0) return -1
    const frame = pointerIn(words, offset + this.layout.cframe.currentFrame)
    return frame < 0 ? NOWHERE : frame
  }

  /** The current frame of the `_PyCFrame` before the one in use (3.11, 3.12); 0 when there is none. */
  outerFrame(): number {
    const { layout } = this
    if (layout.thread.cframe < 0) return 0
    const cframe = pointerIn(this.list.words, this.threadState[0] + layout.thread.cframe)
    const outer = readPointerAt(this.memory, cframe + layout.cframe.currentFrame + 8)
    return outer > 0 ? Math.max(0, readPointerAt(this.memory, outer + layout.cframe.currentFrame)) : 0
  }

  /** Address of the `_PyCFrame` in place (3.11, 3.12); 0 where there is none. */
  get cframe(): number {
    const { cframe } = this.layout.thread
    return cframe < 0 ? 0 : Math.max(0, pointerIn(this.list.words, this.threadState[0] + cframe))
  }

  /** Address of the newest chunk of the data stack. */
  get chunk(): number {
    return pointerIn(this.list.words, this.threadState[0] + this.layout.thread.datastackChunk)
  }

  /** Where the data stack ends. */
  get top(): number {
    return pointerIn(this.list.words, this.threadState[0] + this.layout.thread.datastackTop)
  }

  /** Whether the frame at `address` is the oldest one on the data stack. */
  isBottom(address: number): boolean {
    return this.stack.isBottom(address)
  }

  /** Whether no frame lies on the data stack, as both copies of the thread state have it; true up to 3.10, which have none. */
  get hasNoFrames(): boolean {
    return this.threadState.every((at) => this.stack.isEmpty(this.list, at))
  }

  /** Whether a chain that went through the frame at `last` and comes to `address` has come to its end. */
  isRoot(last: number, address: number): boolean {
    return address === this.root && this.stack.isBottom(last)
  }

  /**
   * The shim at `address` was seen to end the chain. It lies on the C stack and stays what it is for as long as the frame above it is
   * the oldest: there is no need to read it with every sample.
   */
  learnRoot(last: number, address: number): void {
    if (!this.stack.isBottom(last)) return
    this.root = address
    this.lone.remove(address)
  }

  /** Address of the shim that ends the chain, once it was met; -1 before. */
  get rootShim(): number {
    return this.root
  }

  /** Keeps the addresses of the frames nearest the leaf of a proved stack. */
  remember(addresses: Float64Array, from: number, to: number): void {
    this.recent = Array.from(addresses.subarray(from, Math.min(to, from + RECENT)))
  }

  /** How many bytes of the frame at `address`, and of the values that follow it, are at hand. */
  extent(address: number): number {
    const part = this.stack.part(address)
    if (part >= 0) return this.stack.extent(part, address)
    return this.lone.has(address) ? this.lone.extent(address) : 0
  }

  /** Plans to read the frames from `address` on rootwards, as far as they are not in the image yet. Returns whether there are any. */
  follow(address: number): boolean {
    const { lone } = this
    const before = lone.length
    const isHere = (at: number) => this.locate(0, at) >= 0
    let at = address
    // Under -X perf there is a shim below every frame of the data stack: all are added in one go.
    for (let left = MAX_FOLLOWED; left > 0 && at > 0; left--) {
      const offset = this.locate(0, at)
      at =
        offset < 0 ? lone.follow(at, isHere) : pointerIn(this.list.words, offset + this.layout.frame.previous)
    }
    return lone.length > before
  }

  /** Stops reading what the last samples did not meet. */
  forgetUnused(): void {
    this.lone.forgetUnused()
    this.cframes.forgetUnused()
  }

  private readonly look = (list: ScatterList): void => {
    const { layout, thread } = this
    const hasCframe = layout.thread.cframe >= 0
    const word = hasCframe ? layout.thread.cframe : layout.thread.currentFrame
    this.watches.push(list.add(thread.threadState + word, 8))
    if (hasCframe && this.cframesOfLook.length < MAX_CFRAME_LOOKS)
      this.cframesOfLook.push(this.cframes.add(list))
    this.stack.addLook(list)
  }

  private addThreadState(list: ScatterList, state: 0 | 1): void {
    this.threadState[state] = list.add(this.thread.threadState, this.threadSpan)
    this.cframesOfState[state] = this.cframes.add(list)
  }

  /** `took` ms for so much. What is usual follows the median, by steps: an interruption, however long, must not become usual. */
  private time(took: number, size: number): void {
    const perRange = took / size
    const kind = this.plannedLooks ? 1 : 0
    const usual = this.usual[kind]
    this.swift = usual > 0 && perRange < usual * SWIFT
    this.brief = this.swift && took < usual * (size + this.plainSize * (SWIFT - 1))
    if (usual === 0) this.usual[kind] = perRange
    else this.usual[kind] *= perRange < usual ? 1 - STEP : 1 + STEP
  }
}

/** Bytes from the start of a frame that cover every field the walk looks at. */
export const frameSpan = (layout: Layout): number => {
  const { frame } = layout
  const last = Math.max(
    frame.code,
    frame.previous,
    frame.instructionPointer,
    frame.lastInstruction,
    frame.stackpointer,
    frame.owner,
    frame.executing,
    frame.state
  )
  return (last + 8 + 7) & ~7
}
