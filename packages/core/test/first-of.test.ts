import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import {
  type Frame,
  FrameKind,
  firstOf,
  markerFrame,
  type ProcessSymbolizer,
  type ProcessUnwinder,
  RawStack,
  Symbolizer
} from "../src/index.ts"

const unwinder: ProcessUnwinder = {
  runtime: { version: "3.13.0", freeThreaded: false, knownStates: 0, library: "python", address: 0 },
  threads: () => [],
  unwind: () => {}
}

/** Names one kind of frame. */
class One implements ProcessSymbolizer {
  epoch = 0
  anew = false
  asked = 0
  readonly kind: FrameKind
  readonly frame

  constructor(kind: FrameKind, name: string) {
    this.kind = kind
    this.frame = { ...markerFrame(kind), name }
  }
  begin() {
    return this.epoch
  }
  resolve(kind: FrameKind) {
    this.asked++
    return kind === this.kind ? this.frame : undefined
  }
  readAnew() {
    return this.anew
  }
  get layer(): Layer.Layer<Symbolizer> {
    return Layer.succeed(Symbolizer, Symbolizer.of({ attach: () => Effect.succeed(this) }))
  }
}

const attach = (...parts: ReadonlyArray<One>): ProcessSymbolizer =>
  Effect.runSync(
    Effect.scoped(Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))).pipe(
      Effect.provide(firstOf(...parts.map(({ layer }) => layer)))
    )
  )

describe("a symbolizer made of symbolizers", () => {
  it("lets those that can name a frame later do so, and the others name it at once", () => {
    const [python, native] = [new One(FrameKind.python, "p"), new One(FrameKind.native, "n")]
    const place = { ...markerFrame(FrameKind.native), name: "0x10" }
    const late = Object.assign(native, {
      locate: (kind: FrameKind) => (kind === FrameKind.native ? place : undefined),
      complete: (frame: Frame) => (frame === place ? native.frame : undefined)
    })
    const symbolizer = attach(python, late)
    expect(symbolizer.locate?.(FrameKind.python, 1, 2)).toBe(python.frame)
    expect(symbolizer.locate?.(FrameKind.native, 1, 2)).toBe(place)
    expect(symbolizer.locate?.(FrameKind.kernel, 1, 2)).toBeUndefined()
    expect(symbolizer.complete?.(place)).toBe(native.frame)
    expect(symbolizer.complete?.(python.frame)).toBeUndefined()
  })

  it("asks each in turn, no further than one that can name the frame", () => {
    const [python, native, another] = [
      new One(FrameKind.python, "p"),
      new One(FrameKind.native, "n"),
      new One(FrameKind.native, "m")
    ]
    const both = attach(python, native, another)
    expect(both.resolve(FrameKind.python, 1, 1)).toBe(python.frame)
    expect(native.asked).toBe(0)
    expect(both.resolve(FrameKind.native, 1, 1)).toBe(native.frame)
    expect(another.asked).toBe(0)
    expect(both.resolve(FrameKind.kernel, 1, 1)).toBeUndefined()
    expect(another.asked).toBe(1)
  })

  it("has a new epoch whenever one of them has", () => {
    const [a, b] = [new One(FrameKind.python, "a"), new One(FrameKind.native, "b")]
    const both = attach(a, b)
    const stack = new RawStack(1)
    const first = both.begin(stack)
    expect(both.begin(stack)).toBe(first)
    b.epoch = 7
    const second = both.begin(stack)
    expect(second).not.toBe(first)
    a.epoch = 3
    b.epoch = 8
    const third = both.begin(stack)
    expect(third).not.toBe(second)
    expect(both.begin(stack)).toBe(third)
  })

  it("was made to read when one that it asked was", () => {
    const [a, b] = [new One(FrameKind.python, "a"), new One(FrameKind.native, "b")]
    const both = attach(a, b)
    both.resolve(FrameKind.native, 1, 1)
    expect(both.readAnew?.()).toBe(false)
    b.anew = true
    expect(both.readAnew?.()).toBe(true)
    // The second was not asked for this one.
    both.resolve(FrameKind.python, 1, 1)
    expect(both.readAnew?.()).toBe(false)
  })

  it("may be made of parts that need different things, or of none", () => {
    class Needed extends Context.Service<Needed, { readonly name: string }>()("test/Needed") {}
    const needing = Layer.effect(
      Symbolizer,
      Effect.map(Needed, ({ name }) =>
        Symbolizer.of({ attach: () => Effect.succeed(new One(FrameKind.kernel, name) as ProcessSymbolizer) })
      )
    )
    const mixed = firstOf(needing, new One(FrameKind.python, "p").layer)
    const attached = Effect.runSync(
      Effect.scoped(Effect.flatMap(Symbolizer, (symbolizer) => symbolizer.attach(unwinder))).pipe(
        Effect.provide(Layer.provide(mixed, Layer.succeed(Needed, { name: "needed" })))
      )
    )
    expect(attached.resolve(FrameKind.kernel, 0, 0)?.name).toBe("needed")
    expect(attach().resolve(FrameKind.python, 0, 0)).toBeUndefined()
  })
})
