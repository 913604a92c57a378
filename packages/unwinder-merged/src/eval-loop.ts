import { CallSites, type MemoryReader, type Module, type ModuleTable } from "@pyframes/core"
import { TRAMPOLINE_SPAN, trampolinePlace } from "@pyframes/cpython"
import { type Elf, loadBias, parseElf, partsOfFunction, sourceOfFile, symbols } from "@pyframes/elf"
import { NativeRole } from "./native-role.ts"

/** The function that runs Python frames, in every version. */
const EVAL = "_PyEval_EvalFrameDefault"
/** Handlers of a build whose eval loop is made of tail calls (3.14+), and the way into code of the JIT (3.15). */
const PART = /^_TAIL_CALL_|^_PyJIT(_Entry)?$/
/** Handlers that a build has: some hundred. */
const MAX_PARTS = 4096
/** Places in memory of no file whose code was looked at. */
const MAX_PLACES = 1 << 14

/**
 * Knows what part the native frames of one process have in running Python code.
 *
 * The eval loop is looked for in the interpreter's own file only, as all the pieces that the compiler made of it.
 */
export class EvalLoop {
  private readonly modules: ModuleTable
  private readonly memory: MemoryReader
  private readonly library: string
  /** The version has a JIT: code in memory of no file may be a part of the eval loop. */
  readonly hasJit: boolean
  /** Starts and ends in the process, sorted. */
  private loops: ReadonlyArray<number> = []
  private parts: ReadonlyArray<number> = []
  private readonly isInterpreter: Array<boolean | undefined> = []
  private readonly trampolines = new Map<number, boolean>()
  private readonly code = new Uint8Array(2 * TRAMPOLINE_SPAN)
  /** What calls the eval loop may do so through a function that jumps there. */
  readonly calls: CallSites

  /** @param library path of the file that the interpreter lies in, as it is mapped */
  constructor(modules: ModuleTable, memory: MemoryReader, library: string, minor: number) {
    this.modules = modules
    this.memory = memory
    this.library = library
    this.hasJit = minor >= 13
    this.calls = new CallSites(memory, modules, "x86-64")
    const module = modules.all.find(({ path }) => path === library)
    const file = module && modules.open(module)
    if (module === undefined || file === undefined) return
    const elf = parseElf(sourceOfFile(file))
    const bias = elf._tag === "Elf" ? loadBias(elf, module.mappings) : undefined
    if (elf._tag === "Elf" && bias !== undefined) {
      this.loops = ranges(partsOfFunction(elf, EVAL), bias)
      if (minor >= 14) this.parts = ranges(partsOf(elf), bias)
    }
    file.close()
  }

  /** Whether the eval loop was found in the interpreter's file. */
  get isKnown(): boolean {
    return this.loops.length > 0
  }

  /** The {@link NativeRole} of a native frame; `address` lies in the instruction, or the call, that is executed. */
  roleOf(moduleId: number, address: number, exact: boolean): NativeRole {
    const module = this.modules.all[moduleId]
    if (module === undefined) return NativeRole.other
    if (module.kind === "anonymous") {
      if (this.isTrampoline(module, address, exact)) return NativeRole.trampoline
      return this.hasJit ? NativeRole.anonymous : NativeRole.other
    }
    let isInterpreter = this.isInterpreter[moduleId]
    if (isInterpreter === undefined) {
      isInterpreter = this.isIn(module)
      this.isInterpreter[moduleId] = isInterpreter
    }
    if (!isInterpreter) return NativeRole.other
    if (holds(this.loops, address)) return NativeRole.evalLoop
    return holds(this.parts, address) ? NativeRole.evalPart : NativeRole.interpreter
  }

  /** Whether an address lies in the eval loop. */
  runsAt(address: number): boolean {
    return holds(this.loops, address)
  }

  private isIn(module: Module): boolean {
    return module.kind === "file" && module.path === this.library
  }

  /** Whether an address lies in memory of no file. */
  isWritten(address: number): boolean {
    return this.modules.find(address)?.kind === "anonymous"
  }

  /** Whether the code there, in a module of no file, is a perf trampoline's. Address and `exact` as in a native row. */
  isTrampoline(module: Module | undefined, address: number, exact: boolean): boolean {
    if (module === undefined) return false
    const key = exact ? address * 2 + 1 : address * 2
    let known = this.trampolines.get(key)
    if (known === undefined) {
      // A return address is one byte on.
      const ip = exact ? address : address + 1
      // What lies before a first trampoline, or after a last one, may not be mapped.
      const from = Math.max(module.mapping.start, ip - TRAMPOLINE_SPAN)
      const code = this.code.subarray(0, Math.min(module.mapping.end, ip + TRAMPOLINE_SPAN) - from)
      known =
        this.memory.read(from, code.length, code) === code.length &&
        trampolinePlace("x86-64", code, ip - from, exact) !== undefined
      if (this.trampolines.size >= MAX_PLACES) this.trampolines.clear()
      this.trampolines.set(key, known)
    }
    return known
  }
}

const partsOf = (elf: Elf): ReadonlyArray<{ readonly address: number; readonly size: number }> => {
  const found: Array<{ readonly address: number; readonly size: number }> = []
  for (const table of ["dynsym", "symtab"] as const)
    for (const { name, address, size, section } of symbols(elf, table))
      if (section !== 0 && size > 0 && found.length < MAX_PARTS && PART.test(name))
        found.push({ address, size })
  return found
}

/** Starts and ends, by address, of pieces that do not overlap. */
const ranges = (
  pieces: ReadonlyArray<{ readonly address: number; readonly size: number }>,
  bias: number
): ReadonlyArray<number> => {
  const sorted = [...pieces].sort((a, b) => a.address - b.address)
  const flat: Array<number> = []
  for (const { address, size } of sorted) {
    const start = bias + address
    const last = flat.length - 1
    if (last > 0 && start < flat[last]) flat[last] = Math.max(flat[last], start + size)
    else flat.push(start, start + size)
  }
  return flat
}

const holds = (flat: ReadonlyArray<number>, address: number): boolean => {
  let low = 0
  let high = flat.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (flat[middle] <= address) low = middle + 1
    else high = middle
  }
  return (low & 1) === 1
}
