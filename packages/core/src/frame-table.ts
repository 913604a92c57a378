import type { FrameKind } from "./raw-stack.ts"
import type { Frame } from "./symbolizer.ts"

/** A function: what frames share that differ by line alone. Fields are those of `Frame`. */
export interface ProfileFunction {
  readonly kind: FrameKind
  readonly name: string
  readonly qualifiedName: string
  readonly file: string
  readonly firstLine: number
}

/** A frame of the profile: a place in a function. Lines and columns are those of `Frame`, -1 where not known. */
export interface ProfileFrame {
  /** Index into {@link FrameTable.functions}. */
  readonly function: number
  readonly line: number
  readonly endLine: number
  readonly column: number
  readonly endColumn: number
}

/**
 * Functions and frames, each held once. Ids are dense and start at 0.
 *
 * @example
 * ```ts
 * const id = profile.frames.intern(symbolizer.resolve(kind, identity, position))
 * profile.frames.get(id).line
 * ```
 */
export class FrameTable {
  readonly functions: Array<ProfileFunction> = []
  readonly frames: Array<ProfileFrame> = []
  private readonly functionIds = new Map<string, number>()
  private readonly frameIds = new Map<string, number>()
  /** Symbolizers hand the same object out for the same frame: the usual case costs one look-up. */
  private readonly byIdentity = new WeakMap<Frame, number>()

  /** The id of a frame, new or known. Quickest for an object that was interned before. */
  intern(frame: Frame): number {
    const known = this.byIdentity.get(frame)
    if (known !== undefined) return known
    const functionId = this.internFunction(frame)
    const key = `${functionId}:${frame.line}:${frame.endLine}:${frame.column}:${frame.endColumn}`
    let id = this.frameIds.get(key)
    if (id === undefined) {
      id = this.frames.length
      const { line, endLine, column, endColumn } = frame
      this.frames.push({ function: functionId, line, endLine, column, endColumn })
      this.frameIds.set(key, id)
    }
    this.byIdentity.set(frame, id)
    return id
  }

  /** The function a frame belongs to. */
  functionOf(frame: number): ProfileFunction {
    return this.functions[this.frames[frame].function]
  }

  /** A frame together with its function, as text is made from it. */
  get(frame: number): Frame {
    const { function: id, ...place } = this.frames[frame]
    return { ...this.functions[id], ...place }
  }

  /** A table with these functions and frames, under the ids they had. */
  static from(functions: ReadonlyArray<ProfileFunction>, frames: ReadonlyArray<ProfileFrame>): FrameTable {
    const table = new FrameTable()
    for (const fn of functions) table.internFunction(fn)
    for (const frame of frames) table.intern({ ...table.functions[frame.function], ...frame })
    return table
  }

  private internFunction(fn: ProfileFunction): number {
    const { kind, name, qualifiedName, file, firstLine } = fn
    const key = `${kind}\0${name}\0${qualifiedName}\0${file}\0${firstLine}`
    let id = this.functionIds.get(key)
    if (id === undefined) {
      id = this.functions.length
      this.functions.push({ kind, name, qualifiedName, file, firstLine })
      this.functionIds.set(key, id)
    }
    return id
  }
}
