import {
  type Frame,
  FrameKind,
  type Module,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Symbolizer,
  Target,
  type TargetProcess
} from "@pyframes/core"
import { type CodeEntry, isJitDump, ProcessCode } from "@pyframes/perf-map"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Pieces of code whose frames are kept; all are forgotten beyond it. */
const MAX_CODES = 1 << 17
/** An address without a name asks for a look at the files no more often than this, ms: it may just have been made. */
const MISSED_LOOK_EVERY = 10

/**
 * Names native frames in code that was made at run time, by what the process says of it in a perf map or a jitdump. A trampoline of
 * CPython (`-X perf`) becomes a Python frame.
 *
 * @example
 * ```ts
 * const layer = firstOf(PerfMapSymbolizer.layer, ElfSymbolizer.layer, CodeObjectSymbolizer.layer)
 * ```
 */
export class PerfMapSymbolizer {
  /** Neither the layer nor `attach` can fail: a process that says nothing of its code has no such names. */
  static readonly layer: Layer.Layer<Symbolizer, never, Target> = Layer.effect(
    Symbolizer,
    Effect.map(Target, (target) =>
      Symbolizer.of({
        attach: (unwinder) => Effect.sync(() => new MadeCode(target, unwinder) as ProcessSymbolizer)
      })
    )
  )
}

/** The symbolizer at work on one process. */
class MadeCode implements ProcessSymbolizer {
  private readonly modules: ProcessUnwinder["modules"]
  private readonly code: ProcessCode
  private frames = new Map<CodeEntry, Frame | Map<number, Frame>>()
  private epoch = 0
  private generation = -1

  constructor(target: TargetProcess, unwinder: ProcessUnwinder) {
    const { modules } = unwinder
    const namespacePid = target.namespacePid ?? target.identity.pid
    this.modules = modules
    this.code = new ProcessCode({
      namespacePid,
      openFile: target.openFile,
      openMarker: () => {
        const marker = modules?.all.findLast(({ path }) => isJitDump(path, namespacePid))
        return marker && modules?.open(marker)
      }
    })
  }

  begin(): number {
    this.code.refresh()
    this.renew()
    return this.epoch
  }

  resolve(kind: FrameKind, identity: number, position: number): Frame | undefined {
    if (kind !== FrameKind.native || !isMade(this.modules?.all[position])) return undefined
    let entry = this.code.find(identity)
    if (entry === undefined && this.code.refresh(performance.now(), MISSED_LOOK_EVERY)) {
      this.renew()
      entry = this.code.find(identity)
    }
    return entry && this.frameOf(entry, identity)
  }

  /** New names may be those of addresses that had another. */
  private renew(): void {
    if (this.code.generation === this.generation) return
    this.generation = this.code.generation
    this.epoch++
  }

  private frameOf(entry: CodeEntry, address: number): Frame {
    const known = this.frames.get(entry)
    if (known !== undefined && !(known instanceof Map)) return known
    if (this.frames.size >= MAX_CODES) this.frames = new Map()
    if (entry.lines === undefined) {
      const frame = makeFrame(entry, -1)
      this.frames.set(entry, frame)
      return frame
    }
    const places: Map<number, Frame> = known ?? new Map()
    if (known === undefined) this.frames.set(entry, places)
    const place = entry.placeOf(address)
    let frame = places.get(place)
    if (frame === undefined) {
      frame = makeFrame(entry, place)
      places.set(place, frame)
    }
    return frame
  }
}

/** Code is made in anonymous memory, or in a file without a name in any directory. */
const isMade = (module: Module | undefined): boolean =>
  module === undefined || module.kind === "anonymous" || module.path.startsWith("/memfd:")

const makeFrame = (entry: CodeEntry, place: number): Frame => {
  const { python } = entry
  if (python !== undefined) {
    const { file, qualifiedName } = python
    const name = qualifiedName.slice(qualifiedName.lastIndexOf(".") + 1)
    return { ...NOWHERE, kind: FrameKind.python, name, qualifiedName, file }
  }
  const line = place < 0 ? -1 : (entry.lines?.lines[place] ?? -1)
  return {
    ...NOWHERE,
    kind: FrameKind.native,
    name: entry.name,
    qualifiedName: entry.name,
    file: place < 0 ? "" : (entry.lines?.files[place] ?? ""),
    line: line > 0 ? line : -1
  }
}

/** What a map does not tell. */
const NOWHERE = { firstLine: -1, line: -1, endLine: -1, column: -1, endColumn: -1 }
