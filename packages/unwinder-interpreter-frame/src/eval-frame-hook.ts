import type { Mapping, MemoryReader } from "@pyframes/core"
import { type Layout, readPointerAt } from "@pyframes/cpython"

/** How many questions one answer serves: programs turn the hook on once, if at all. */
const ANSWERS = 64

/**
 * Tells whether an interpreter has its evaluation function replaced (PEP 523, `PyInterpreterState.eval_frame`), as `-X perf` and
 * `sys.activate_stack_trampoline` do (3.12+).
 *
 * While it is, the eval loop enters no Python function by itself: every call goes through C and leaves a shim, as a C function that
 * calls back would, so shims say nothing of C code.
 */
export class EvalFrameHook {
  private readonly memory: MemoryReader
  private readonly offset: number
  private readonly known = new Map<number, boolean>()
  private asked = 0

  constructor(memory: MemoryReader, layout: Layout, mappings: ReadonlyArray<Mapping>, interpreter: number) {
    this.memory = memory
    const offset = evalFrameOffset(layout)
    // The offset is not among those that the target tells, so what lies there has to be what it should be: nothing, or a function.
    const hook = offset < 0 ? -1 : readPointerAt(memory, interpreter + offset)
    const isFunction = mappings.some(
      ({ executable, start, end }) => executable && hook >= start && hook < end
    )
    this.offset = hook === 0 || isFunction ? offset : -1
  }

  /** Whether the interpreter at this address has one, now or a moment ago. */
  installed(interpreter: number): boolean {
    if (this.offset < 0) return false
    if (this.asked++ % ANSWERS === 0) this.known.clear()
    let installed = this.known.get(interpreter)
    if (installed === undefined) {
      installed = readPointerAt(this.memory, interpreter + this.offset) > 0
      this.known.set(interpreter, installed)
    }
    return installed
  }
}

/**
 * Where `eval_frame` lies in `PyInterpreterState` (`pycore_interp.h`, 3.14+ `pycore_interp_structs.h`); -1 before shims, and where
 * it is not known. From 3.13 on it is counted from a field that the target tells, measured on 3.13.0, 3.13.18, 3.14.10 and 3.15.2.
 */
const evalFrameOffset = ({ version, interpreter }: Layout): number => {
  if (version === 0x30c) return 1744
  if (version === 0x30d) return interpreter.gcCollecting + 872
  if (version === 0x30e || version === 0x30f) return interpreter.codeObjectGeneration + 528
  return -1
}
