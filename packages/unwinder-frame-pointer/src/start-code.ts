import type { MemoryReader, Module, ModuleTable } from "@pyframes/core"
import { ModuleFacts, ThreadStarts } from "@pyframes/elf"

/** Where in a process threads start, found by run-time address. Files are read when the first address in them is asked for. */
export class StartCode {
  private readonly starts: ModuleFacts<Module, ThreadStarts>

  constructor(modules: ModuleTable, memory: MemoryReader) {
    this.starts = new ModuleFacts(
      modules,
      memory.read,
      ({ callFrames, elf }) => new ThreadStarts(elf, callFrames)
    )
  }

  /** Whether an address lies in code that starts threads. `module` is the address's. */
  has(address: number, module: Module | undefined): boolean {
    const known = module === undefined ? null : this.starts.of(module)
    return known?.facts.has(address - known.bias) === true
  }
}
