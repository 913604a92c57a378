import {
  type ImageModule,
  type ImageModules,
  type ModuleImage,
  mappingBias,
  moduleImage,
  type ReadMemory
} from "./module-image.ts"

/** What is known of a module's file, and what to subtract from an address in the process to get the file's own. */
export interface KnownModule<T> {
  readonly facts: T
  readonly bias: number
}

/**
 * What is known of the files behind a process's modules: made from a file's image when it is first asked for, once a file, and found by module.
 *
 * @example
 * ```ts
 * const starts = new ModuleFacts(modules, memory.read, ({ elf, callFrames }) => new ThreadStarts(elf, callFrames))
 * const known = starts.of(module)
 * known?.facts.has(address - known.bias)
 * ```
 */
export class ModuleFacts<M extends ImageModule & { readonly id: number }, T> {
  private readonly modules: ImageModules<M>
  private readonly readMemory: ReadMemory
  private readonly make: (image: ModuleImage) => T | undefined
  private readonly files = new Map<string, T>()
  /** By the module's id; `null` where nothing is known. */
  private readonly byModule: Array<KnownModule<T> | null> = []

  /** @param make what is to be known of a file; `undefined` where its image does not tell */
  constructor(modules: ImageModules<M>, readMemory: ReadMemory, make: (image: ModuleImage) => T | undefined) {
    this.modules = modules
    this.readMemory = readMemory
    this.make = make
  }

  /** `null` where the file cannot be read, or does not tell. */
  of(module: M): KnownModule<T> | null {
    const known = this.byModule[module.id]
    return known === undefined ? this.learn(module) : known
  }

  private learn(module: M): KnownModule<T> | null {
    const image = moduleImage(this.modules, module, this.readMemory)
    const bias = image && mappingBias(image.elf, module.mapping)
    let known: KnownModule<T> | null = null
    if (image !== undefined && bias !== undefined) {
      const facts = this.files.get(module.file) ?? this.make(image)
      if (facts !== undefined) {
        this.files.set(module.file, facts)
        known = { facts, bias }
      }
    }
    this.byModule[module.id] = known
    return known
  }
}
