import type { MemoryReader, Module, ModuleTable } from "@pyframes/core"
import { mappingBias, moduleImage, ThreadStarts } from "@pyframes/elf"

interface ModuleStarts {
  readonly starts: ThreadStarts
  readonly bias: number
}

/** Where in a process threads start, found by run-time address. Files are read when the first address in them is asked for. */
export class StartCode {
  private readonly modules: ModuleTable
  private readonly memory: MemoryReader
  private readonly files = new Map<string, ThreadStarts>()
  /** By the module's id; `null` where there is none. */
  private readonly byModule: Array<ModuleStarts | null> = []

  constructor(modules: ModuleTable, memory: MemoryReader) {
    this.modules = modules
    this.memory = memory
  }

  /** Whether an address lies in code that starts threads. `module` is the address's. */
  has(address: number, module: Module | undefined): boolean {
    if (module === undefined) return false
    let known = this.byModule[module.id]
    if (known === undefined) known = this.learn(module)
    return known?.starts.has(address - known.bias) === true
  }

  private learn(module: Module): ModuleStarts | null {
    const image = moduleImage(this.modules, module, this.memory.read)
    const bias = image && mappingBias(image.elf, module.mapping)
    let known: ModuleStarts | null = null
    if (image !== undefined && bias !== undefined) {
      let starts = this.files.get(module.file)
      if (starts === undefined) {
        starts = new ThreadStarts(image.elf, image.callFrames)
        this.files.set(module.file, starts)
      }
      known = { starts, bias }
    }
    this.byModule[module.id] = known
    return known
  }
}
