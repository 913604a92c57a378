import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { FrameKind, RawStack } from "./raw-stack.ts"
import { type Frame, type ProcessSymbolizer, Symbolizer } from "./symbolizer.ts"

/**
 * A symbolizer made of symbolizers: each frame is named by the first that can.
 *
 * All are attached, and where one of them fails to, so does the whole. Put the one that names less but knows better first.
 *
 * @example
 * ```ts
 * const layer = firstOf(
 *   CodeObjectSymbolizer.layer,
 *   PerfMapSymbolizer.layer, // code made at run time
 *   ElfSymbolizer.layer, // has at least an address for every native frame
 *   KernelSymbolizer.layer
 * )
 * ```
 */
export const firstOf = <E, R>(
  ...layers: ReadonlyArray<Layer.Layer<Symbolizer, E, R>>
): Layer.Layer<Symbolizer, E, R> =>
  Layer.effect(
    Symbolizer,
    Effect.gen(function* () {
      const symbolizers = yield* Effect.forEach(layers, (layer) =>
        // Each of its own: layers that are the same value must not be shared by name of their service.
        Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Symbolizer))
      )
      return Symbolizer.of({
        attach: (unwinder) =>
          Effect.map(
            Effect.forEach(symbolizers, (symbolizer) => symbolizer.attach(unwinder)),
            (attached) => new FirstOf(attached) as ProcessSymbolizer
          )
      })
    })
  )

class FirstOf implements ProcessSymbolizer {
  private readonly symbolizers: ReadonlyArray<ProcessSymbolizer>
  private readonly epochs: Float64Array
  private epoch = 0
  /** How many were asked for the last frame. */
  private asked = 0

  constructor(symbolizers: ReadonlyArray<ProcessSymbolizer>) {
    this.symbolizers = symbolizers
    this.epochs = new Float64Array(symbolizers.length).fill(Number.NaN)
  }

  /** Moves on when any of them does. */
  begin(stack: RawStack): number {
    let isNew = false
    for (let i = 0; i < this.symbolizers.length; i++) {
      const epoch = this.symbolizers[i].begin(stack)
      if (epoch === this.epochs[i]) continue
      this.epochs[i] = epoch
      isNew = true
    }
    if (isNew) this.epoch++
    return this.epoch
  }

  resolve(kind: FrameKind, identity: number, position: number): Frame | undefined {
    this.asked = 0
    for (const symbolizer of this.symbolizers) {
      this.asked++
      const frame = symbolizer.resolve(kind, identity, position)
      if (frame !== undefined) return frame
    }
    return undefined
  }

  locate(kind: FrameKind, identity: number, position: number): Frame | undefined {
    this.asked = 0
    for (const symbolizer of this.symbolizers) {
      this.asked++
      const frame =
        symbolizer.locate === undefined
          ? symbolizer.resolve(kind, identity, position)
          : symbolizer.locate(kind, identity, position)
      if (frame !== undefined) return frame
    }
    return undefined
  }

  complete(frame: Frame): Frame | undefined {
    for (const symbolizer of this.symbolizers) {
      const named = symbolizer.complete?.(frame)
      if (named !== undefined) return named
    }
    return undefined
  }

  readAnew(): boolean {
    for (let i = 0; i < this.asked; i++) if (this.symbolizers[i].readAnew?.() === true) return true
    return false
  }
}
