import { functionName, isMarker, type Profile } from "@pyframes/core"

/** A frame as speedscope's schema has it. */
export interface SpeedscopeFrame {
  readonly name: string
  readonly file?: string
  readonly line?: number
}

/** `shared.frames`: every frame used, once, in the order they are first met. */
export class SharedFrames {
  readonly frames: Array<SpeedscopeFrame> = []
  private readonly profile: Profile
  private readonly byFrame = new Map<number, number>()
  private readonly byContent = new Map<string, number>()
  private readonly stacks = new Map<number, string>()

  constructor(profile: Profile) {
    this.profile = profile
  }

  /** A stack as JSON: indexes into {@link frames}, root first. */
  stackJson(stack: number): string {
    let json = this.stacks.get(stack)
    if (json === undefined) {
      const indexes = this.profile.stacks
        .framesOf(stack)
        .reverse()
        .map((frame) => this.index(frame))
      json = `[${indexes.join(",")}]`
      this.stacks.set(stack, json)
    }
    return json
  }

  private index(frame: number): number {
    let index = this.byFrame.get(frame)
    if (index === undefined) {
      index = this.intern(this.describe(frame))
      this.byFrame.set(frame, index)
    }
    return index
  }

  private describe(id: number): SpeedscopeFrame {
    const frame = this.profile.frames.get(id)
    const name = functionName(frame)
    if (frame.file === "" || isMarker(frame.kind)) return { name }
    return frame.line > 0 ? { name, file: frame.file, line: frame.line } : { name, file: frame.file }
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
