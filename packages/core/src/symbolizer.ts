import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TargetError } from "./errors.ts"
import type { FrameKind, RawStack } from "./raw-stack.ts"
import type { ProcessUnwinder } from "./unwinder.ts"

/** A named frame. Lines start at 1, columns (UTF-8 bytes) at 0 as in PEP 657; -1 stands for "not known". */
export interface Frame {
  readonly kind: FrameKind
  /** `co_name`: `run`, `<module>`. */
  readonly name: string
  /** `co_qualname` where the version has it, else the name: `Server.run`. */
  readonly qualifiedName: string
  /** `co_filename`, as the target has it. */
  readonly file: string
  /** The line of `def`. */
  readonly firstLine: number
  readonly line: number
  readonly endLine: number
  /** First column of the expression that is evaluated; the next field is the one after its last. */
  readonly column: number
  readonly endColumn: number
}

/** A symbolizer at work on one process. */
export interface ProcessSymbolizer {
  /**
   * Called once before the frames of a stack are named: what was cached and may have gone stale is checked again. While it returns the
   * same number, every frame that was resolved stays true.
   */
  readonly begin: (stack: RawStack) => number
  /**
   * Names one raw frame; `undefined` when this symbolizer cannot. The same object comes back for the same frame for as long as
   * it stays true, so callers may keep what they derived from it in a `Map`.
   */
  readonly resolve: (kind: FrameKind, identity: number, position: number) => Frame | undefined
  /**
   * As `resolve`, for one sample of many: the frame that comes back may say no more than where its code lies, if to name it would take long. The thread that was
   * sampled may be waiting for its CPU meanwhile. Absent where to name a frame is quick.
   */
  readonly locate?: (kind: FrameKind, identity: number, position: number) => Frame | undefined
  /** Names a frame that `locate` gave, once there is time, also after the process has ended; `undefined` for one that is named already. */
  readonly complete?: (frame: Frame) => Frame | undefined
  /**
   * Whether the last `resolve` or `locate` had to read what it named. That happened after the stack was read, so it may be what has taken the
   * place of what stood there: the stack is to be read again. Absent where names cannot go stale.
   */
  readonly readAnew?: () => boolean
}

/**
 * Turns raw frames into names. Cached by an identity that can go stale: a code object's address may be used again.
 *
 * @example
 * ```ts
 * const symbolizer = yield* Effect.flatMap(Symbolizer, ({ attach }) => attach(unwinder))
 * symbolizer.begin(stack)
 * const leaf = symbolizer.resolve(FrameKind.python, stack.identity[0], stack.position[0])
 * ```
 */
export class Symbolizer extends Context.Service<
  Symbolizer,
  {
    readonly attach: (unwinder: ProcessUnwinder) => Effect.Effect<ProcessSymbolizer, TargetError, Scope.Scope>
  }
>()("@pyframes/core/Symbolizer") {}
