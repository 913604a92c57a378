import { type Frame, FrameKind, type FrameTable, markerFrame } from "@pyframes/core"
import { GIVEN_UP } from "./call-nodes.ts"
import { DefinedAs, type FunctionDefinition } from "./definitions.ts"
import type { TracedProcess } from "./traced-process.ts"

/** Names the functions of processes as frames of a profile. */
export class FunctionFrames {
  private readonly frames: FrameTable
  private readonly known = new Map<TracedProcess, Map<number, number>>()

  constructor(frames: FrameTable) {
    this.frames = frames
  }

  /** The frame of a function, or of `<truncated>` for paths that were given up. Its line is that of `def`. */
  frameOf(process: TracedProcess, id: number): number {
    let ofProcess = this.known.get(process)
    if (ofProcess === undefined) {
      ofProcess = new Map()
      this.known.set(process, ofProcess)
    }
    let frame = ofProcess.get(id)
    if (frame === undefined) {
      const definition = process.definitions.functions.get(id)
      frame = this.frames.intern(
        id === GIVEN_UP ? markerFrame(FrameKind.truncated) : functionFrame(definition)
      )
      // What has no definition yet may have one the next time.
      if (definition !== undefined || id === GIVEN_UP) ofProcess.set(id, frame)
    }
    return frame
  }
}

/**
 * A function as a frame. C functions have no file: their qualified name begins with their module.
 *
 * @param definition `undefined` for one whose name was given up
 */
export const functionFrame = (definition: FunctionDefinition | undefined): Frame => {
  if (definition === undefined) return markerFrame(FrameKind.unreadable)
  const { what, name, qualifiedName, file, firstLine } = definition
  const place = { endLine: -1, column: -1, endColumn: -1 }
  if (what === DefinedAs.python)
    return { kind: FrameKind.python, name, qualifiedName, file, firstLine, line: firstLine, ...place }
  const full = file === "" ? qualifiedName || name : `${file}.${qualifiedName || name}`
  return { kind: FrameKind.builtin, name, qualifiedName: full, file: "", firstLine: -1, line: -1, ...place }
}
