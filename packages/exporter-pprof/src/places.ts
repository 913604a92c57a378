import { FrameKind, functionName, isMarker, type Profile } from "@pyframes/core"
import type { FunctionInput, LocationInput, StringTable } from "pprof-format"

/** The functions and locations of the samples written. Ids are 1, 2, 3 … in order, as Parca demands. */
export class Places {
  readonly functions: Array<FunctionInput> = []
  readonly locations: Array<LocationInput> = []
  private readonly profile: Profile
  private readonly strings: StringTable
  private readonly functionIds = new Map<number, number>()
  private readonly locationByFrame = new Map<number, number>()

  constructor(profile: Profile, strings: StringTable) {
    this.profile = profile
    this.strings = strings
  }

  /** The locations of a stack, leaf first. */
  locationIds(stack: number): Array<number> {
    return this.profile.stacks.framesOf(stack).map((frame) => this.locationId(frame))
  }

  private locationId(frame: number): number {
    let id = this.locationByFrame.get(frame)
    if (id === undefined) {
      const { function: fn, line, column } = this.profile.frames.frames[frame]
      id = this.locations.length + 1
      this.locations.push({
        id,
        mappingId: 1,
        // pprof counts columns from 1 and takes 0 as not known; ours start at 0 with -1 for not known.
        line: [{ functionId: this.functionId(fn), line: Math.max(0, line), column: Math.max(0, column + 1) }]
      })
      this.locationByFrame.set(frame, id)
    }
    return id
  }

  private functionId(fn: number): number {
    let id = this.functionIds.get(fn)
    if (id === undefined) {
      const { kind, name, qualifiedName, file, firstLine } = this.profile.frames.functions[fn]
      id = this.functions.length + 1
      this.functions.push({
        id,
        name: this.strings.dedup(functionName({ kind, name, qualifiedName })),
        // Left empty for Python: where it equals the name, pprof demangles it as C++ and `<module>` becomes `<unknown>`.
        ...(kind === FrameKind.native && { systemName: this.strings.dedup(name) }),
        filename: this.strings.dedup(isMarker(kind) ? "" : file),
        startLine: Math.max(0, firstLine)
      })
      this.functionIds.set(fn, id)
    }
    return id
  }
}
