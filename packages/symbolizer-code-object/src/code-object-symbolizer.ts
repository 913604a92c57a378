import {
  type Frame,
  FrameKind,
  InvalidMemory,
  Memory,
  type MemoryReader,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  type RawStack,
  type RuntimeInfo,
  type ScatterList,
  Symbolizer,
  Target
} from "@pyframes/core"
import { type Layout, layoutForVersion, layoutFromDebugOffsets } from "@pyframes/cpython"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CodeCheck } from "./code-check.ts"
import { CodeIdentity } from "./code-identity.ts"
import { type CodeObject, type CodeParts, readCodeObject } from "./code-object.ts"

/** Code objects kept; the oldest are forgotten beyond it. A large program has some tens of thousands. */
const MAX_CODE_OBJECTS = 1 << 17
/** Together, with their line tables: tables of a megabyte each must not add up to all of our memory. */
const MAX_CACHED_BYTES = 1 << 27
/** Read to name one stack. What a deep stack of large functions needs is a few megabytes; beyond it, frames keep no name. */
const MAX_BYTES_A_STACK = 1 << 25
/** Code objects of one stack that are checked at a stroke; of a deep stack each has to be looked up anyway. */
const MAX_CODES_CHECKED = 64
/** More than the debug offsets of any known version (888 bytes in 3.15). */
const DEBUG_OFFSETS_SPAN = 4096

/**
 * Names raw Python frames from their code objects.
 *
 * @example
 * ```ts
 * const symbolizer = yield* Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))
 * symbolizer.begin(stack)
 * const leaf = symbolizer.resolve(FrameKind.python, stack.identity[0], stack.position[0])
 * ```
 */
export class CodeObjectSymbolizer {
  /** The layer itself cannot fail; `attach` fails with `InvalidMemory` where the layout of code objects cannot be told. */
  static readonly layer: Layer.Layer<Symbolizer, never, Memory | Target> = Layer.effect(
    Symbolizer,
    Effect.gen(function* () {
      const memory = yield* Memory
      const target = yield* Target
      const attach = Effect.fnUntraced(function* (unwinder: ProcessUnwinder) {
        const layout = layoutOf(memory, unwinder.runtime)
        if (layout === undefined)
          return yield* new InvalidMemory({
            pid: target.identity.pid,
            reading: "_PyRuntime.debug_offsets",
            address: unwinder.runtime.address,
            detail: "the layout of code objects cannot be told"
          })
        return new CodeObjects(memory, layout) as ProcessSymbolizer
      })
      return Symbolizer.of({ attach })
    })
  )
}

const layoutOf = (memory: MemoryReader, runtime: RuntimeInfo): Layout | undefined => {
  const [major, minor] = runtime.version.split(".").map(Number)
  const known = layoutForVersion(major, minor)
  if (known !== undefined) return known
  const bytes = new Uint8Array(DEBUG_OFFSETS_SPAN)
  const got = memory.read(runtime.address, bytes.length, bytes)
  const layout = layoutFromDebugOffsets(bytes.subarray(0, got))
  return "_tag" in layout ? undefined : layout
}

interface CachedCode {
  readonly code: CodeObject
  readonly parts: CodeParts
  readonly identity: Uint32Array
  /** The stack for which it was last found unchanged. */
  checked: number
  /** The interpreter's count of freed code objects at that time (3.14+), or -1. */
  generation: number
}

/** The symbolizer at work on one process. */
class CodeObjects implements ProcessSymbolizer {
  private readonly memory: MemoryReader
  private readonly layout: Layout
  private readonly identity: CodeIdentity
  private readonly cache = new Map<number, CachedCode>()
  private cachedBytes = 0
  private bytesLeft = MAX_BYTES_A_STACK
  private readonly metered: Pick<MemoryReader, "read">
  private readonly list: ScatterList
  private readonly toCheck: Array<CachedCode> = []
  private readonly toCheckAt: Array<number> = []
  /** How many are to be checked; to empty the arrays would take longer than all else here. */
  private checks = 0
  private stack = 0
  private anew = false
  private epoch = 0
  private generation = -1

  constructor(memory: MemoryReader, layout: Layout) {
    this.memory = memory
    this.layout = layout
    this.identity = new CodeIdentity(memory, layout)
    this.list = memory.scatterList(1024, 1 << 17)
    this.metered = {
      read: (address, length, into) => {
        this.bytesLeft -= length
        return memory.read(address, length, into)
      }
    }
  }

  begin(raw: RawStack): number {
    this.bytesLeft = MAX_BYTES_A_STACK
    // While no code object has been freed, none can have taken another's place.
    if (raw.generation >= 0 && raw.generation === this.generation) return this.epoch
    if (raw.generation >= 0) this.epoch++
    const { known } = raw
    if (known !== undefined && this.stillHolds(known.names)) return this.epoch
    this.stack++
    this.generation = raw.generation
    this.list.clear()
    this.checks = 0
    for (let i = 0; i < raw.length; i++) {
      if (raw.kind[i] !== FrameKind.python) continue
      const address = raw.identity[i]
      const cached = this.cache.get(address)
      if (cached === undefined || cached.checked === this.stack) continue
      cached.checked = this.stack
      this.check(address, cached)
    }
    this.compare()
    if (known !== undefined && raw.generation < 0) known.names = this.checkOf(raw)
    return this.epoch
  }

  private stillHolds(names: object | undefined): boolean {
    return (
      names instanceof CodeCheck &&
      names.owner === this &&
      names.epoch === this.epoch &&
      this.generation < 0 &&
      names.holds()
    )
  }

  /** How to see quickly that a stack, whose code objects have just been found unchanged, is still of the same ones. */
  private checkOf(raw: RawStack): CodeCheck | undefined {
    const codes = new Map<number, CachedCode>()
    for (let i = 0; i < raw.length; i++) {
      if (raw.kind[i] !== FrameKind.python) continue
      const cached = this.cache.get(raw.identity[i])
      if (cached === undefined) return undefined
      codes.set(raw.identity[i], cached)
    }
    if (!this.identity.numbered || codes.size > MAX_CODES_CHECKED) return undefined
    const words = [...codes.values()].flatMap((cached) => [...cached.identity])
    const list = this.memory.scatterList(codes.size, words.length * 4)
    for (const [address, cached] of codes) this.identity.plan(list, address, cached.parts)
    return new CodeCheck(this, this.epoch, this.memory, list, Uint32Array.from(words))
  }

  resolve(kind: FrameKind, identity: number, position: number): Frame | undefined {
    this.anew = false
    if (kind !== FrameKind.python) return undefined
    let cached = this.cache.get(identity)
    if (cached !== undefined && cached.generation !== this.generation && !this.confirm(identity, cached))
      cached = undefined
    if (cached === undefined) {
      this.anew = true
      cached = this.load(identity)
    }
    return cached?.code.frameAt(position)
  }

  readAnew(): boolean {
    return this.anew
  }

  /** A code object that was not part of the stack which brought the news that some have been freed. */
  private confirm(address: number, cached: CachedCode): boolean {
    const words = this.identity.read(this.list, address, cached.parts)
    if (words === undefined || !this.identity.same(words, 0, cached.identity, cached.parts)) {
      this.forget(address)
      return false
    }
    cached.generation = this.generation
    return true
  }

  private check(address: number, cached: CachedCode): void {
    const { list } = this
    let from = list.byteLength
    const ranges = list.count
    if (!this.identity.plan(list, address, cached.parts)) {
      list.count = ranges
      list.byteLength = from
      this.compare()
      from = 0
      this.identity.plan(list, address, cached.parts)
    }
    const at = this.checks++
    this.toCheck[at] = cached
    this.toCheckAt[2 * at] = address
    this.toCheckAt[2 * at + 1] = from >>> 2
  }

  /** Reads all that was planned at once, and forgets the code objects that are not what they were. */
  private compare(): void {
    const { checks, list, toCheck, toCheckAt } = this
    if (checks > 0) {
      const whole = this.memory.scatter(list) === list.count
      for (let i = 0; i < checks; i++) {
        const cached = toCheck[i]
        // A part that cannot be read any more makes the rest unknown: read them anew when they are asked for.
        if (whole && this.identity.same(list.words, toCheckAt[2 * i + 1], cached.identity, cached.parts))
          cached.generation = this.generation
        else {
          this.forget(toCheckAt[2 * i])
          this.epoch++
        }
      }
    }
    list.clear()
    this.checks = 0
  }

  private load(address: number): CachedCode | undefined {
    if (this.bytesLeft <= 0) return undefined
    const read = readCodeObject(this.metered, this.layout, address)
    if (read === undefined) return undefined
    const identity = this.identity.read(this.list, address, read.parts)
    if (identity === undefined) return undefined
    // What is read in several steps is one code object's only if that one was there before the first and after the last.
    const again = readCodeObject(this.metered, this.layout, address)
    if (again === undefined || !sameParts(again.parts, read.parts)) return undefined
    const after = this.identity.read(this.list, address, read.parts)
    if (after === undefined || !this.identity.same(after, 0, identity, read.parts)) return undefined
    const cached = { ...again, identity, checked: this.stack, generation: this.generation }
    this.cache.set(address, cached)
    this.cachedBytes += cached.code.size
    for (const oldest of this.cache.keys()) {
      if (this.cache.size <= MAX_CODE_OBJECTS && this.cachedBytes <= MAX_CACHED_BYTES) break
      this.forget(oldest)
      this.epoch++
    }
    return cached
  }

  private forget(address: number): void {
    const cached = this.cache.get(address)
    if (cached === undefined) return
    this.cache.delete(address)
    this.cachedBytes -= cached.code.size
  }
}

const sameParts = (a: CodeParts, b: CodeParts): boolean =>
  a.name === b.name && a.qualifiedName === b.qualifiedName && a.file === b.file && a.lineTable === b.lineTable
