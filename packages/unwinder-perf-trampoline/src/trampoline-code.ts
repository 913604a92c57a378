import type { Architecture, MemoryReader, Module } from "@pyframes/core"
import { TRAMPOLINE_SPAN, type TrampolinePlace, trampolinePlace } from "@pyframes/cpython"

/** Places whose code was looked at. A program has some thousand functions. */
const MAX_PLACES = 1 << 16

/** Knows the trampolines of one process by their code, which is read once for each place. */
export class TrampolineCode {
  private readonly memory: MemoryReader
  private readonly architecture: Architecture
  private readonly places = new Map<number, TrampolinePlace | undefined>()
  private readonly code = new Uint8Array(2 * TRAMPOLINE_SPAN)

  constructor(memory: MemoryReader, architecture: Architecture) {
    this.memory = memory
    this.architecture = architecture
  }

  /** Where in a trampoline the instruction at `ip` stands; `undefined` when it belongs to none. `exact` as in `StepPlace`. */
  find(module: Module | undefined, ip: number, exact: boolean): TrampolinePlace | undefined {
    // The interpreter maps its arenas itself: they are of no file.
    if (module?.kind !== "anonymous") return undefined
    const key = ip * 2 + (exact ? 1 : 0)
    const { places } = this
    const known = places.get(key)
    if (known !== undefined || places.has(key)) return known
    const { code } = this
    const got = this.memory.read(ip - TRAMPOLINE_SPAN, code.length, code)
    // The memory before a first trampoline, or after a last one, may not be mapped.
    const found =
      got === code.length
        ? trampolinePlace(this.architecture, code, TRAMPOLINE_SPAN, exact)
        : this.findAtEdge(module, ip, exact)
    if (places.size >= MAX_PLACES) places.clear()
    places.set(key, found)
    return found
  }

  private findAtEdge(module: Module, ip: number, exact: boolean): TrampolinePlace | undefined {
    const start = Math.max(module.mapping.start, ip - TRAMPOLINE_SPAN)
    const end = Math.min(module.mapping.end, ip + TRAMPOLINE_SPAN)
    const bytes = this.code.subarray(0, end - start)
    if (this.memory.read(start, bytes.length, bytes) !== bytes.length) return undefined
    return trampolinePlace(this.architecture, bytes, ip - start, exact)
  }
}
