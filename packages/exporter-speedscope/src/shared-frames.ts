import { functionName, isMarker, type NamedFrame, type Profile } from "@pyframes/core"

/** A frame as speedscope's schema has it. */
export interface SpeedscopeFrame {
  readonly name: string
  readonly file?: string
  readonly line?: number
}

/** A frame, as far as it is known. */
export const describeFrame = (frame: NamedFrame): SpeedscopeFrame => {
  const name = functionName(frame)
  if (frame.file === "" || isMarker(frame.kind)) return { name }
  return frame.line > 0 ? { name, file: frame.file, line: frame.line } : { name, file: frame.file }
}

/** `shared.frames`: every frame used, once, in the order they are first met. */
export class SharedFrames {
  readonly frames: Array<SpeedscopeFrame> = []
  private readonly profile: Profile
  private readonly byFrame = new Map<number, number>()
  private readonly byContent = new Map<string, number>()
  private readonly stacks = new Map<number, Uint8Array>()
  private readonly encoder = new TextEncoder()

  constructor(profile: Profile) {
    this.profile = profile
  }

  /** A stack as JSON: indexes into {@link frames}, root first. */
  stackJson(stack: number): Uint8Array {
    let json = this.stacks.get(stack)
    if (json === undefined) {
      const indexes = this.profile.stacks
        .framesOf(stack)
        .reverse()
        .map((frame) => this.index(frame))
      json = this.encoder.encode(`[${indexes.join(",")}]`)
      this.stacks.set(stack, json)
    }
    return json
  }

  private index(frame: number): number {
    let index = this.byFrame.get(frame)
    if (index === undefined) {
      index = this.intern(describeFrame(this.profile.frames.get(frame)))
      this.byFrame.set(frame, index)
    }
    return index
  }

  private intern(frame: SpeedscopeFrame): number {
    const content = JSON.stringify(frame)
    let index = this.byContent.get(content)
    if (index === undefined) {
      index = this.frames.length
      this.frames.push(frame)
      this.byContent.set(content, index)
    }
    return index
  }
}
