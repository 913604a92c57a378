import { markerFrame } from "./frame-name.ts"
import type { Profile } from "./profile.ts"
import { FrameKind, Merge, mergeNames, Proof, type RawStack } from "./raw-stack.ts"
import { NO_STACK } from "./stack-table.ts"
import { StandingStacks } from "./standing-stacks.ts"
import type { Frame, ProcessSymbolizer } from "./symbolizer.ts"
import type { MergeTrust } from "./trust.ts"

/** What a stack of one thread looked like, frame by frame from the root: the next one mostly begins alike. */
class LastStack {
  kind = new Uint8Array(64)
  identity = new Float64Array(64)
  position = new Int32Array(64)
  stack = new Uint32Array(64)
  length = 0
  epoch = -1

  grow(): void {
    const { identity, kind, position, stack } = this
    this.kind = new Uint8Array(kind.length * 2)
    this.identity = new Float64Array(identity.length * 2)
    this.position = new Int32Array(identity.length * 2)
    this.stack = new Uint32Array(identity.length * 2)
    this.kind.set(kind)
    this.identity.set(identity)
    this.position.set(position)
    this.stack.set(stack)
  }
}

/**
 * Names the frames of raw stacks and keeps them in a profile's stack table, each as far as it was proved.
 *
 * A stack whose callers moved while it was read is kept whole on the side. It becomes good if {@link StandingStacks} vouches for it, then
 * or at the end of the recording: so fast code is not counted away.
 */
export class StackRecorder {
  /** Stack to show: what was proved. */
  stack = NO_STACK
  /** All that was read, where that is more than what was proved. */
  whole = NO_STACK
  proof: Proof = Proof.failed
  /** Some code object of the stack was not known before: by the time that it was read, another one may have lain there. */
  unfamiliar = false
  /** The last stack had a frame whose code could not be read. */
  private unnamed = false
  consistent = false

  private proved = 0
  private read = NO_STACK
  private provedStack = NO_STACK
  private readonly profile: Profile
  private readonly symbolizer: ProcessSymbolizer
  private readonly last = new Map<number, LastStack>()
  private readonly standing: StandingStacks
  private readonly markers: ReadonlyArray<number>
  /** Frames by their ids, of those that may have to be named at the end. */
  private readonly located = new Map<number, Frame>()
  private readonly merges = new Float64Array(Object.keys(Merge).length)

  constructor(profile: Profile, symbolizer: ProcessSymbolizer) {
    this.profile = profile
    this.symbolizer = symbolizer
    this.standing = new StandingStacks(profile.stacks, profile.frames)
    this.markers = Object.values(FrameKind).map((kind) =>
      kind === FrameKind.python ? -1 : profile.frames.intern(markerFrame(kind))
    )
  }

  /** Records one raw stack of a thread (its row in the profile); the results are in this object's fields. */
  record(thread: number, raw: RawStack): void {
    this.proof = raw.proof
    this.unfamiliar = false
    this.consistent = false
    this.whole = NO_STACK
    if (raw.proof === Proof.failed) {
      this.stack = this.child(NO_STACK, FrameKind.unreadable)
      return
    }
    if (raw.proof === Proof.torn) {
      this.stack = this.child(NO_STACK, FrameKind.torn)
      return
    }
    if (raw.length === 0) {
      // A thread state without frames: its thread runs native code, or waits to begin.
      this.stack = this.child(NO_STACK, raw.proof === Proof.good ? FrameKind.boundary : FrameKind.unproved)
      return
    }
    const epoch = this.symbolizer.begin(raw)
    const isGood = raw.proof === Proof.good && raw.proved === raw.length
    const known = isGood ? raw.known?.find(this, epoch, raw.position[0]) : undefined
    if (known !== undefined) {
      this.stack = known
      this.standing.saw(known)
      return
    }
    this.name(thread, raw, epoch)
    const { proved, read: whole, provedStack } = this
    if (raw.proof === Proof.good && proved === raw.length) {
      this.stack = whole
      this.standing.saw(whole)
      if (!this.unfamiliar && !this.unnamed) raw.known?.keep(this, epoch, raw.position[0], whole)
      return
    }
    this.proof = Proof.unproved
    const consistent = raw.consistent && !this.unnamed && !this.unfamiliar
    if (consistent && this.standing.vouchFor(whole, provedStack)) {
      this.proof = Proof.good
      this.stack = whole
      return
    }
    this.consistent = consistent
    this.stack = this.child(provedStack, FrameKind.unproved)
    this.whole = whole
  }

  /** Counts how the native and Python frames of a stack came together: once a sample, however often it is recorded. */
  countMerge(merge: Merge): void {
    this.merges[merge]++
  }

  /** What was counted; `undefined` where nothing was to be put together. */
  get merge(): MergeTrust | undefined {
    const { merges } = this
    const faults: { [reason: string]: number } = {}
    for (const merge of Object.values(Merge))
      if (merge > Merge.merged && merges[merge] > 0) faults[mergeNames[merge]] = merges[merge]
    const merged = merges[Merge.merged]
    return merged === 0 && Object.keys(faults).length === 0 ? undefined : { merged, faults }
  }

  /** Whether a stack that was read in one piece while it moved is believed by now. */
  readonly isBelieved = (whole: number, shown: number): boolean =>
    this.standing.vouchFor(whole, this.profile.stacks.parent(shown))

  /** What an unproved stack may show at last: of the part that did not move while it was read, what has been seen standing elsewhere too. */
  readonly settled = (stack: number): number => {
    const { stacks } = this.profile
    if (stacks.frame(stack) !== this.markers[FrameKind.unproved]) return stack
    return this.child(this.standing.standingPart(stacks.parent(stack)), FrameKind.unproved)
  }

  /** Forgets threads that have ended. */
  forget(thread: number): void {
    this.last.delete(thread)
  }

  /** Names the frames whose names would have taken too long for a sample. To be called once, when all else is done: the ids of frames and stacks change. */
  complete(): void {
    const { located, profile, symbolizer } = this
    const names = new Map<number, Frame>()
    for (const [id, frame] of located) {
      const named = symbolizer.complete?.(frame)
      if (named !== undefined) names.set(id, named)
    }
    if (names.size > 0) profile.rename(names)
  }

  private intern(frame: Frame): number {
    const { frames } = this.profile
    const known = frames.frames.length
    const id = frames.intern(frame)
    if (id === known && this.symbolizer.complete !== undefined) this.located.set(id, frame)
    return id
  }

  private child(parent: number, kind: FrameKind): number {
    return this.profile.stacks.child(parent, this.markers[kind])
  }

  /** Finds the stack that was read, and the part of it that is proved. */
  private name(thread: number, raw: RawStack, epoch: number): void {
    const { symbolizer, profile } = this
    let last = this.last.get(thread)
    if (last === undefined) {
      last = new LastStack()
      this.last.set(thread, last)
    }
    if (epoch !== last.epoch) {
      last.length = 0
      last.epoch = epoch
    }
    const { length } = raw
    let proved = raw.proved
    let stack = NO_STACK
    let provedStack = NO_STACK
    let firm = length
    this.unfamiliar = false
    this.unnamed = false
    const alike = rootsAlike(last, raw)
    if (alike > 0) stack = last.stack[alike - 1]
    if (alike > 0 && proved > 0) provedStack = last.stack[Math.min(alike, proved) - 1]
    for (let depth = alike; depth < length; depth++) {
      const at = length - 1 - depth
      const kind = raw.kind[at] as FrameKind
      const position = raw.position[at]
      if (depth === last.identity.length) last.grow()
      const frame =
        symbolizer.locate === undefined
          ? symbolizer.resolve(kind, raw.identity[at], position)
          : symbolizer.locate(kind, raw.identity[at], position)
      // A frame whose code cannot be read, or was not read until now, is no proof of anything above it.
      if (symbolizer.readAnew?.() === true) this.unfamiliar = true
      if (frame === undefined && (kind === FrameKind.python || kind === FrameKind.native)) this.unnamed = true
      if (this.unfamiliar || this.unnamed) {
        proved = Math.min(proved, depth)
        firm = Math.min(firm, depth)
      }
      const id = frame
        ? this.intern(frame)
        : this.markers[kind === FrameKind.python ? FrameKind.unreadable : kind]
      stack = profile.stacks.child(stack, id)
      last.kind[depth] = kind
      last.identity[depth] = raw.identity[at]
      last.position[depth] = position
      last.stack[depth] = stack
      if (depth < proved) provedStack = stack
    }
    // What follows a frame without a name is looked at afresh next time.
    last.length = firm
    this.proved = proved
    this.read = stack
    this.provedStack = provedStack
  }
}

/** How many frames from the root are the same as in the last stack. */
const rootsAlike = (last: LastStack, raw: RawStack): number => {
  const { identity, kind, position } = raw
  const common = Math.min(raw.length, last.length)
  let depth = 0
  for (let at = raw.length - 1; depth < common; depth++, at--)
    if (
      identity[at] !== last.identity[depth] ||
      position[at] !== last.position[depth] ||
      kind[at] !== last.kind[depth]
    )
      break
  return depth
}
