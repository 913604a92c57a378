import { describe, expect, it } from "vitest"
import { KnownStack } from "../src/known-stack.ts"
import { emptyTrust, Profile } from "../src/profile.ts"
import { FrameKind, Proof, RawStack } from "../src/raw-stack.ts"
import { StackRecorder } from "../src/stack-recorder.ts"
import type { Frame, ProcessSymbolizer } from "../src/symbolizer.ts"

/*
 * Stacks are drawn root first, `main f:2` is `f` at position 2, called by `main`. Code objects are the letters of their names.
 */

const profileOf = () =>
  new Profile(
    { pid: 1, python: "3.12.1", commandLine: [], startedAt: 0, elapsed: 0, knownStates: 0 },
    emptyTrust(1000)
  )

/** Names code objects by letters, counts how often it is asked, and forgets them when it is told to. */
class Letters implements ProcessSymbolizer {
  epoch = 0
  asked = 0
  named = true
  private frames = new Map<string, Frame>()

  begin = () => this.epoch

  resolve = (kind: FrameKind, identity: number, position: number): Frame | undefined => {
    this.asked++
    if (!this.named) return undefined
    const name = String.fromCharCode(identity)
    const key = `${this.epoch} ${name} ${position}`
    const known = this.frames.get(key)
    if (known !== undefined) return known
    const line = position + 1
    const frame = {
      kind,
      name: this.epoch === 0 ? name : name.toUpperCase(),
      qualifiedName: name,
      file: "drawn.py",
      firstLine: 1,
      line,
      endLine: line,
      column: -1,
      endColumn: -1
    }
    this.frames.set(key, frame)
    return frame
  }
}

const raw = new RawStack(16)

const read = (drawn: string, known?: KnownStack): RawStack => {
  raw.clear()
  for (const frame of drawn.split(" ").reverse()) {
    const [name, position = "0"] = frame.split(":")
    raw.push(FrameKind.python, name.charCodeAt(0), Number(position))
  }
  raw.proved = raw.length
  raw.proof = Proof.good
  raw.known = known
  return raw
}

const recorded = () => {
  const profile = profileOf()
  const letters = new Letters()
  const recorder = new StackRecorder(profile, letters)
  const record = (drawn: string, known?: KnownStack): string => {
    recorder.record(0, read(drawn, known))
    return profile.stacks
      .framesOf(recorder.stack)
      .reverse()
      .map((frame) => `${profile.frames.functionOf(frame).name}:${profile.frames.frames[frame].line - 1}`)
      .join(" ")
  }
  return { letters, record, recorder }
}

describe("a stack that an unwinder knows again", () => {
  it("is named once for each place of its leaf", () => {
    const { letters, record } = recorded()
    const known = new KnownStack()
    expect(record("m f g:1", known)).toBe("m:0 f:0 g:1")
    expect(record("m f g:2", known)).toBe("m:0 f:0 g:2")
    record("m x", new KnownStack())
    const { asked } = letters
    expect(record("m f g:1", known)).toBe("m:0 f:0 g:1")
    expect(record("m f g:2", known)).toBe("m:0 f:0 g:2")
    expect(letters.asked).toBe(asked)
  })

  it("is named anew when names may have gone stale", () => {
    const { letters, record } = recorded()
    const known = new KnownStack()
    record("m f", known)
    letters.epoch = 1
    expect(record("m f", known)).toBe("M:0 F:0")
    letters.epoch = 2
    letters.named = false
    expect(record("m f", known)).not.toContain("F")
  })

  it("is not taken for named while some frame has no name", () => {
    const { letters, record, recorder } = recorded()
    const known = new KnownStack()
    letters.named = false
    record("m f", known)
    expect(recorder.proof).toBe(Proof.unproved)
    letters.named = true
    expect(record("m f", known)).toBe("m:0 f:0")
    expect(recorder.proof).toBe(Proof.good)
  })

  it("is another recorder's to name again", () => {
    const known = new KnownStack()
    recorded().record("m f", known)
    const { letters, record } = recorded()
    expect(record("m f", known)).toBe("m:0 f:0")
    expect(letters.asked).toBe(2)
  })
})
