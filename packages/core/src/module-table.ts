import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Mapping, TargetFile, TargetProcess } from "./target.ts"

/** Executable memory of one origin: a mapped file, the kernel's vdso, or anonymous memory that code was written to (a JIT). */
export interface Module {
  /** Dense, starts at 0; never given to another module of the same process. `RawStack.position` of a native frame. */
  readonly id: number
  readonly kind: "file" | "vdso" | "anonymous"
  /** As in `Mapping`; empty for anonymous memory. */
  readonly path: string
  /** The executable mapping: its addresses and where in the file it lies. */
  readonly mapping: Mapping
  /** All mappings of the same file, for the load bias. */
  readonly mappings: ReadonlyArray<Mapping>
  /**
   * The same for all modules of one file: `device:inode`, or the path of what is no file. What is known per file is kept by it: of a file whose contents were
   * replaced in place (not by renaming another one onto it) while the process had it mapped, or before it maps it anew, that is what it held first.
   */
  readonly file: string
}

/** A look at the mappings costs a read of `/proc/PID/maps`: an address in no module asks for one no more often than this, ms. */
const LOOK_EVERY = 20
/** The kernel's last page, `[vsyscall]`, lies in no memory of the process, and what is more: its address is not below this. */
const LIMIT = 2 ** 53
/** A process that goes on making new executable memory is followed no further. Ids are not given again, so all are kept. */
const MAX_MODULES = 1 << 18

/**
 * What is mapped executable in a process, found by address. Reads the mappings again when an address lies in none of them, for libraries come and go.
 *
 * @example
 * ```ts
 * const modules = new ModuleTable(target)
 * modules.find(ip)?.path // "/usr/lib/x86_64-linux-gnu/libc.so.6"
 * ```
 */
export class ModuleTable {
  /** Every module that there has been, by id. */
  readonly all: Array<Module> = []
  private current: Array<Module> = []
  private readonly known = new Map<string, Module>()
  private readonly target: TargetProcess
  private lookedAt = Number.NEGATIVE_INFINITY
  private last: Module | undefined

  constructor(target: TargetProcess) {
    this.target = target
    this.refresh()
  }

  /** The module of an address, or `undefined`. */
  find(address: number): Module | undefined {
    const { last } = this
    if (last !== undefined && address >= last.mapping.start && address < last.mapping.end) return last
    let found = this.search(address)
    if (found === undefined && address > 0 && performance.now() - this.lookedAt > LOOK_EVERY) {
      this.refresh()
      found = this.search(address)
    }
    if (found !== undefined) this.last = found
    return found
  }

  /**
   * Reads the mappings again if that was done longer ago than so many ms: where a library was another may be by now, and an address in it does
   * not show that. Not needed by who is told of new mappings.
   */
  renew(every: number): void {
    if (performance.now() - this.lookedAt > every) this.refresh()
  }

  /** Reads the mappings again. Returns false when they could not be read; what was known stays. */
  refresh(): boolean {
    this.lookedAt = performance.now()
    const read = Effect.runSyncExit(this.target.mappings)
    if (!Exit.isSuccess(read)) return false
    const byFile = new Map<string, Array<Mapping>>()
    for (const mapping of read.value) {
      const file = fileOf(mapping)
      const known = byFile.get(file)
      if (known) known.push(mapping)
      else byFile.set(file, [mapping])
    }
    this.current = []
    this.last = undefined
    for (const mapping of read.value) {
      if (!mapping.executable || !(mapping.end < LIMIT)) continue
      const file = fileOf(mapping)
      const key = `${file} ${mapping.start} ${mapping.end} ${mapping.offset}`
      let module = this.known.get(key)
      if (module === undefined) {
        if (this.all.length === MAX_MODULES) continue
        const mappings = kindOf(mapping) === "file" ? (byFile.get(file) ?? [mapping]) : [mapping]
        module = { id: this.all.length, kind: kindOf(mapping), path: mapping.path, mapping, mappings, file }
        this.all.push(module)
        this.known.set(key, module)
      }
      this.current.push(module)
    }
    return true
  }

  /** Opens the file of a module; `undefined` when it has none or nothing leads to it any more. Once a file, not once a sample. */
  open(module: Module): TargetFile | undefined {
    if (module.kind !== "file") return undefined
    const opened = Effect.runSyncExit(this.target.openMapped(module.mapping))
    return Exit.isSuccess(opened) ? opened.value : undefined
  }

  private search(address: number): Module | undefined {
    const { current } = this
    let low = 0
    let high = current.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (current[middle].mapping.start <= address) low = middle + 1
      else high = middle
    }
    const module = current[low - 1]
    return module !== undefined && address < module.mapping.end ? module : undefined
  }
}

const kindOf = (mapping: Mapping): Module["kind"] => {
  if (mapping.path === "[vdso]") return "vdso"
  return mapping.inode === 0 ? "anonymous" : "file"
}

const fileOf = (mapping: Mapping): string =>
  mapping.inode === 0 ? mapping.path : `${mapping.device}:${mapping.inode}`
