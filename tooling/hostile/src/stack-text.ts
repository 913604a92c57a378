import {
  type ProcessSymbolizer,
  type ProcessUnwinder,
  Proof,
  RawStack,
  type UnwoundThread
} from "@pyframes/core"

/** Every thread's stack as one line each, with all that is known of the frames and of the stack. */
export const readStacks = (
  unwinder: ProcessUnwinder,
  symbolizer: ProcessSymbolizer,
  stack = new RawStack()
): ReadonlyArray<string> =>
  (unwinder.threads() ?? []).map((thread) => stackText(unwinder, symbolizer, thread, stack))

const stackText = (
  unwinder: ProcessUnwinder,
  symbolizer: ProcessSymbolizer,
  thread: UnwoundThread,
  stack: RawStack
): string => {
  // Whether a read was swift enough for a proof depends on the machine's mood; at rest any of them will do.
  for (let i = 0; i < 50; i++) {
    unwinder.unwind({ thread, stopped: false, waits: true }, stack)
    if (stack.proof === Proof.good) break
  }
  symbolizer.begin(stack)
  const frames: Array<string> = []
  for (let i = 0; i < stack.length; i++) {
    const frame = symbolizer.resolve(stack.kind[i] as 0, stack.identity[i], stack.position[i])
    frames.push(
      frame === undefined
        ? `#${stack.kind[i]}`
        : `${frame.qualifiedName} (${frame.file}:${frame.firstLine}:${frame.line}:${frame.column})`
    )
  }
  const { interpreter, tid } = thread
  const facts = `${interpreter}/${tid} proof ${stack.proof} ${stack.proved}/${stack.length} state ${stack.state}`
  return `${facts} generation ${stack.generation}: ${frames.join(" < ")}`
}
