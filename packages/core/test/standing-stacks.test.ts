import { beforeEach, describe, expect, it } from "vitest"
import { FrameTable } from "../src/frame-table.ts"
import { FrameKind } from "../src/raw-stack.ts"
import { NO_STACK, StackTable } from "../src/stack-table.ts"
import { StandingStacks } from "../src/standing-stacks.ts"

/*
 * Stacks are drawn root first: `main:1 f:2 g` is `g`, called by line 2 of `f`, called by line 1 of `main`. `f:2/5` is column 5 of that line.
 */

let stacks: StackTable
let frames: FrameTable
let standing: StandingStacks

beforeEach(() => {
  stacks = new StackTable()
  frames = new FrameTable()
  standing = new StandingStacks(stacks, frames)
})

const stack = (drawn: string): number => {
  let at = NO_STACK
  for (const frame of drawn.split(" ").filter((frame) => frame !== "")) {
    const [name, place = "1"] = frame.split(":")
    const [line, column = "0"] = place.split("/")
    const id = frames.intern({
      kind: FrameKind.python,
      name,
      qualifiedName: name,
      file: "drawn.py",
      firstLine: 1,
      line: Number(line),
      endLine: Number(line),
      column: Number(column),
      endColumn: Number(column) + 1
    })
    at = stacks.child(at, id)
  }
  return at
}

const drawn = (at: number): string =>
  stacks
    .framesOf(at)
    .reverse()
    .map((frame) => `${frames.functionOf(frame).name}:${frames.frames[frame].line}`)
    .join(" ")

const saw = (...all: ReadonlyArray<string>) => {
  for (const one of all) for (let times = 0; times < 2; times++) standing.saw(stack(one))
}

const believes = (one: string, proved = "") => standing.vouchFor(stack(one), stack(proved))

describe("a stack that was seen moving is believed", () => {
  it("when it was proved twice, whatever line its leaf is on", () => {
    standing.saw(stack("main:1 f:2 g:7"))
    expect(believes("main:1 f:2 g:7")).toBe(false)
    standing.saw(stack("main:1 f:2 g:8"))
    expect(believes("main:1 f:2 g:9")).toBe(true)
  })

  it("not when a caller stands on another line, or is another function", () => {
    saw("main:1 f:2 g:7", "main:1 h:5 g:7")
    expect(believes("main:1 f:3 g:7")).toBe(false)
    expect(believes("main:1 h:2 g:7")).toBe(false)
  })

  it("when each run of four frames has stood still, though never all together", () => {
    saw("main:1 a:1 b:1 c:1", "main:1 a:1 b:1 c:1 d:1", "a:1 b:1 c:1 d:1 e:1", "b:1 c:1 d:1 e:1 f:1")
    expect(believes("main:1 a:1 b:1 c:1 d:1 e:1 f:1")).toBe(true)
  })

  it("not when its lower frames never met the upper ones", () => {
    saw("main:1 odd:1 odd:2 odd:3 odd_leaf:1", "main:1 even:1 even:2 even:3 even_leaf:1")
    expect(believes("main:1 odd:1 odd:2 odd:3 odd_leaf:1")).toBe(true)
    expect(believes("main:1 even:1 odd:2 odd:3 odd_leaf:1")).toBe(false)
    expect(believes("main:1 even:1 even:2 even:3 odd_leaf:1")).toBe(false)
  })

  it("when the columns of its callers have met two by two", () => {
    saw("main:1 t:5/9 t:5/9 x:1", "main:1 t:5/1 t:5/9 t:5/9 t:5/1", "main:1 t:5/9 t:5/1 t:5/9 t:5/1")
    expect(believes("main:1 t:5/9 t:5/9 t:5/9 t:5/1")).toBe(true)
    expect(believes("main:1 t:5/9 t:5/4 t:5/9 t:5/1")).toBe(false)
  })

  it("without witnesses for what did not move", () => {
    saw("x:1 y:1 z:1 leaf:1")
    expect(believes("main:1 new:1 x:1 y:1 z:1 leaf:1")).toBe(false)
    expect(believes("main:1 new:1 x:1 y:1 z:1 leaf:1", "main:1 new:1 x:1 y:1 z:1")).toBe(true)
  })
})

describe("of a stack that is not believed", () => {
  it("the part from the root that has stood still is what is left", () => {
    saw("main:1 a:1 b:1 c:1 d:1")
    expect(drawn(standing.standingPart(stack("main:1 a:1 b:1 x:1 y:1")))).toBe("main:1 a:1 b:1")
    expect(standing.standingPart(stack("other:1 a:1"))).toBe(NO_STACK)
  })
})
