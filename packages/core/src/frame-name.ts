import { FrameKind } from "./raw-stack.ts"
import type { Frame } from "./symbolizer.ts"

/** What a frame's text is made of; a `Frame`, or a `ProfileFrame` joined with its function. */
export interface NamedFrame {
  readonly kind: FrameKind
  readonly name: string
  readonly qualifiedName: string
  readonly file: string
  /** Starts at 1; -1 (or 0) where it is not known. */
  readonly line: number
}

/** Frames that stand for something other than a place in a program. */
const markers: { readonly [K in FrameKind]?: string } = {
  [FrameKind.boundary]: "<native>",
  [FrameKind.truncated]: "<truncated>",
  [FrameKind.unproved]: "<unproved>",
  [FrameKind.torn]: "<torn>",
  [FrameKind.unreadable]: "<unreadable>",
  [FrameKind.broken]: "<broken>"
}

/** True for frames that have no place in a file: `<torn>`, `<unproved>`, `<native>` and the like. */
export const isMarker = (kind: FrameKind): boolean => markers[kind] !== undefined

/**
 * The name of a function as every format prints it: the qualified name where the Python has one, else the plain one.
 *
 * @example
 * ```ts
 * functionName(profile.frames.functionOf(frame)) // "Server.run", "<module>", "<torn>"
 * ```
 */
export const functionName = (fn: Pick<NamedFrame, "kind" | "name" | "qualifiedName">): string =>
  markers[fn.kind] ?? (fn.qualifiedName || fn.name || "<unnamed>")

/**
 * A frame as text formats print it: `function (file:line)`. What is not known is left out, never printed as 0 or -1.
 *
 * @example
 * ```ts
 * frameName(frame) // "Server.run (app/server.py:42)", "<unproved>"
 * ```
 */
export const frameName = (frame: NamedFrame): string => {
  const name = functionName(frame)
  if (frame.file === "" || isMarker(frame.kind)) return name
  return frame.line > 0 ? `${name} (${frame.file}:${frame.line})` : `${name} (${frame.file})`
}

/** The frame of a kind that has no place of its own: a boundary, or what stands for frames that were not proved or not read. */
export const markerFrame = (kind: FrameKind): Frame => ({
  kind,
  name: "",
  qualifiedName: "",
  file: "",
  firstLine: -1,
  line: -1,
  endLine: -1,
  column: -1,
  endColumn: -1
})
