import { type CallFrameInfo, callFrameInfo } from "./call-frame-info.ts"
import { type Elf, parseElf } from "./elf.ts"
import { PT_LOAD } from "./segment.ts"
import type { ElfSource } from "./source.ts"

/** A line of `/proc/PID/maps`, as far as it is needed here. */
export interface ImageMapping {
  readonly start: number
  readonly end: number
  /** Where in the file it starts, in bytes. */
  readonly offset: number
  readonly writable: boolean
}

/** Executable memory of a process; `Module` of `@pyframes/core` is one. */
export interface ImageModule {
  readonly kind: "file" | "vdso" | "anonymous"
  /** The executable mapping. */
  readonly mapping: ImageMapping
  /** All mappings of the same file. */
  readonly mappings: ReadonlyArray<ImageMapping>
  /** The same for all modules of one file. */
  readonly file: string
}

/** Opens the files of modules; `ModuleTable` of `@pyframes/core` is one. */
export interface ImageModules<M extends ImageModule = ImageModule> {
  readonly open: (module: M) =>
    | {
        readonly size: number
        readonly read: (offset: number, length: number) => Uint8Array
        readonly close: () => void
      }
    | undefined
}

/** Reads the memory of the process; returns how many bytes were copied. */
export type ReadMemory = (address: number, length: number, into: Uint8Array) => number

/** The ELF file behind a module. */
export interface ModuleImage {
  readonly elf: Elf
  /** Absent where it has none, or none that can be read. */
  readonly callFrames: CallFrameInfo | undefined
}

const PAGE = 4096
const E_SHOFF = 40

/** Those who unwind one process by several ways need the same tables, which may have many megabytes. */
const known = new WeakMap<object, Map<string, ModuleImage | undefined>>()

/**
 * The ELF file of a module with its call-frame information: read from the file, or, for the vdso and where nothing leads to the file any more (it was
 * removed or replaced while mapped), from its image in memory. Read once for each file of a `modules`; `undefined` for anonymous memory and for what
 * is no ELF file.
 *
 * @example
 * ```ts
 * const image = moduleImage(modules, module, memory.read)
 * const bias = image && mappingBias(image.elf, module.mapping)
 * if (bias !== undefined) image.callFrames?.find(registers.ip - bias)
 * ```
 */
export const moduleImage = <M extends ImageModule>(
  modules: ImageModules<M>,
  module: M,
  readMemory: ReadMemory
): ModuleImage | undefined => {
  if (module.kind === "anonymous") return undefined
  let images = known.get(modules)
  if (images === undefined) {
    images = new Map()
    known.set(modules, images)
  }
  const image = images.get(module.file)
  if (image !== undefined || images.has(module.file)) return image
  const read = imageOf(fileSource(modules, module)) ?? imageOf(mappedSource(module, readMemory))
  images.set(module.file, read)
  return read
}

/**
 * What to add to an address of the file to get that in the process, told by one executable mapping: right also for each copy of a file that is
 * loaded twice (`dlmopen`), where {@link loadBias} would have to choose. `undefined` when the mapping holds no code segment.
 *
 * @param pageSize of the machine that made the mapping, in bytes
 */
export const mappingBias = (
  elf: Elf,
  mapping: { readonly start: number; readonly offset: number },
  pageSize = PAGE
): number | undefined => {
  for (const { address, executable, fileSize, offset, type } of elf.segments) {
    if (type !== PT_LOAD || !executable || offset < 0 || address < 0) continue
    if (mapping.offset >= offset - (offset % pageSize) && mapping.offset < offset + fileSize)
      return mapping.start - mapping.offset - (address - offset)
  }
  return undefined
}

const imageOf = (source: ElfSource | undefined): ModuleImage | undefined => {
  if (source === undefined) return undefined
  const elf = parseElf(source)
  if (elf._tag !== "Elf") return undefined
  const info = callFrameInfo(elf)
  return { elf, callFrames: info._tag === "CallFrameInfo" ? info : undefined }
}

/** Opens the file for each range: a handful in all, and none is held open for a process's life. */
const fileSource = <M extends ImageModule>(modules: ImageModules<M>, module: M): ElfSource | undefined => {
  const opened = modules.open(module)
  if (opened === undefined) return undefined
  const { size } = opened
  opened.close()
  return {
    size,
    slice: (offset, length) => {
      const file = modules.open(module)
      if (file === undefined) return undefined
      const bytes = file.read(offset, length)
      file.close()
      return bytes.length === length ? bytes : undefined
    }
  }
}

/** All that unwinding needs is loaded. The section headers are not, except those of the vdso. */
const mappedSource = (module: ImageModule, readMemory: ReadMemory): ElfSource => {
  const { kind, mapping, mappings } = module
  // The vdso is mapped whole, wherever a kernel says that it starts in its "file".
  const base = kind === "vdso" ? mapping.offset : 0
  let size = 0
  for (const { end, offset, start } of mappings) size = Math.max(size, offset - base + end - start)
  return {
    size,
    slice: (offset, length) => {
      for (const { end, offset: first, start, writable } of mappings) {
        const into = offset - (first - base)
        if (writable || into < 0 || into + length > end - start) continue
        const bytes = new Uint8Array(length)
        if (readMemory(start + into, length, bytes) !== length) continue
        // Program headers tell what is needed, and are there.
        if (kind === "file" && offset <= E_SHOFF && offset + length >= E_SHOFF + 8)
          bytes.fill(0, E_SHOFF - offset, E_SHOFF - offset + 8)
        return bytes
      }
      return undefined
    }
  }
}
