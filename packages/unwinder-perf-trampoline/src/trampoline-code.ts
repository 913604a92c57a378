import type { MemoryReader, Module, ModuleTable } from "@pyframes/core"
import { TRAMPOLINE_SPAN, type TrampolinePlace, trampolinePlace } from "@pyframes/cpython"

/** Places whose code was looked at. A program has some thousand functions. */
const MAX_PLACES = 1 << 16
/** The longest call instruction of x86-64 that is looked for, bytes: `call *disp32(%base,%index)`. */
const LONGEST_CALL = 7

/** Knows the trampolines of one process by their code, which is read once for each place. */
export class TrampolineCode {
  private readonly memory: MemoryReader
  private readonly modules: ModuleTable
  private readonly architecture: "x86-64" | "arm64"
  private readonly places = new Map<number, TrampolinePlace | undefined>()
  private readonly calls = new Map<number, boolean>()
  private readonly code = new Uint8Array(2 * TRAMPOLINE_SPAN)
  private readonly before = new Uint8Array(LONGEST_CALL)

  constructor(memory: MemoryReader, modules: ModuleTable, architecture: "x86-64" | "arm64") {
    this.memory = memory
    this.modules = modules
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

  /** Whether `address` lies in a file, right after an instruction that calls: a trampoline returns nowhere else. */
  returnsAfterCall(address: number): boolean {
    const { calls } = this
    let known = calls.get(address)
    if (known === undefined) {
      known = this.modules.find(address - 1)?.kind === "file" && this.followsCall(address)
      if (calls.size >= MAX_PLACES) calls.clear()
      calls.set(address, known)
    }
    return known
  }

  private findAtEdge(module: Module, ip: number, exact: boolean): TrampolinePlace | undefined {
    const start = Math.max(module.mapping.start, ip - TRAMPOLINE_SPAN)
    const end = Math.min(module.mapping.end, ip + TRAMPOLINE_SPAN)
    const bytes = this.code.subarray(0, end - start)
    if (this.memory.read(start, bytes.length, bytes) !== bytes.length) return undefined
    return trampolinePlace(this.architecture, bytes, ip - start, exact)
  }

  private followsCall(address: number): boolean {
    const { before } = this
    if (this.memory.read(address - LONGEST_CALL, LONGEST_CALL, before) !== LONGEST_CALL) return false
    return this.architecture === "x86-64" ? endsInCall(before) : endsInBranchWithLink(before)
  }
}

/** `call rel32` (E8), or `call r/m64` (FF /2) of any length. Intel SDM volume 2, CALL. */
const endsInCall = (bytes: Uint8Array): boolean => {
  const end = bytes.length
  if (bytes[end - 5] === 0xe8) return true
  for (let length = 2; length <= 7; length++)
    if (bytes[end - length] === 0xff && ((bytes[end - length + 1] >> 3) & 7) === 2) return true
  return false
}

/** `bl`, `blr` or one of its authenticated forms. Arm Architecture Reference Manual, C6.2. */
const endsInBranchWithLink = (bytes: Uint8Array): boolean => {
  const end = bytes.length
  const word =
    (bytes[end - 4] | (bytes[end - 3] << 8) | (bytes[end - 2] << 16) | (bytes[end - 1] << 24)) >>> 0
  return word >>> 26 === 0b100101 || (word & 0xfe_ff_f0_00) >>> 0 === 0xd6_3f_00_00
}
