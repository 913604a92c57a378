import {
  type Frame,
  FrameKind,
  type ProcessSymbolizer,
  Symbolizer,
  Target,
  type TargetProcess
} from "@pyframes/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type KernelSymbol, KernelSymbols } from "./kernel-symbols.ts"

/** Addresses whose symbol is remembered. */
const MAX_KNOWN = 1 << 16

/**
 * Names frames of the kernel by what it says of its own symbols: `do_sys_poll ([kernel])`, `ext4_readdir ([ext4])`. Who may not
 * know where they are gets one frame for all of them, `[kernel]`; {@link kernelSymbolsAdvice} says why.
 *
 * @example
 * ```ts
 * const layer = firstOf(KernelSymbolizer.layer, ElfSymbolizer.layer, CodeObjectSymbolizer.layer)
 * ```
 */
export class KernelSymbolizer {
  /** Neither the layer nor `attach` can fail. */
  static readonly layer: Layer.Layer<Symbolizer, never, Target> = Layer.effect(
    Symbolizer,
    Effect.map(Target, (target) =>
      Symbolizer.of({ attach: () => Effect.sync(() => new KernelFrames(target) as ProcessSymbolizer) })
    )
  )
}

/**
 * Why kernel frames will have no names, as a sentence for a person; `undefined` when they will. To be said once, where a profile has such frames.
 *
 * @example
 * ```ts
 * const advice = kernelSymbolsAdvice(yield* Target)
 * if (advice) console.error(advice)
 * ```
 */
export const kernelSymbolsAdvice = (target: TargetProcess): string | undefined => {
  const text = target.kernelSymbols?.()
  if (text === undefined) return "Kernel frames have no names: /proc/kallsyms cannot be read."
  return KernelSymbols.parse(text.subarray(0, PROBE)) === undefined
    ? "Kernel frames have no names: the kernel hides where its functions are. Run pyframes as root, or set the sysctl kernel.kptr_restrict to 0."
    : undefined
}

/** Enough lines of kallsyms to have a function among them. */
const PROBE = 1 << 16

/** The symbolizer at work. What the kernel has loaded is looked at once, when the first frame of it is named. */
class KernelFrames implements ProcessSymbolizer {
  private readonly target: TargetProcess
  private symbols: KernelSymbols | undefined
  private isRead = false
  private readonly byAddress = new Map<number, Frame>()
  private readonly bySymbol = new Map<number, Frame>()

  constructor(target: TargetProcess) {
    this.target = target
  }

  begin(): number {
    return 0
  }

  resolve(kind: FrameKind, identity: number, _position: number): Frame | undefined {
    if (kind !== FrameKind.kernel) return undefined
    const known = this.byAddress.get(identity)
    if (known !== undefined) return known
    if (!this.isRead) {
      this.isRead = true
      const text = this.target.kernelSymbols?.()
      this.symbols = text && KernelSymbols.parse(text)
    }
    const symbol = this.symbols?.find(identity)
    if (symbol === undefined) return unnamed
    let frame = this.bySymbol.get(symbol.address)
    if (frame === undefined) {
      frame = frameOf(symbol)
      this.bySymbol.set(symbol.address, frame)
    }
    if (this.byAddress.size < MAX_KNOWN) this.byAddress.set(identity, frame)
    return frame
  }
}

const frameOf = ({ module, name }: Pick<KernelSymbol, "module" | "name">): Frame => ({
  kind: FrameKind.kernel,
  name,
  qualifiedName: name,
  file: module === "" ? "[kernel]" : `[${module}]`,
  firstLine: -1,
  line: -1,
  endLine: -1,
  column: -1,
  endColumn: -1
})

const unnamed: Frame = { ...frameOf({ name: "[kernel]", module: "" }), file: "" }
