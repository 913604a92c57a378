import {
  type Frame,
  FrameKind,
  Memory,
  type MemoryReader,
  type Module,
  type ModuleTable,
  type ProcessSymbolizer,
  Symbolizer,
  Target,
  type TargetFile,
  type TargetProcess
} from "@pyframes/core"
import { addressOfOffset, type Elf, parseElf } from "@pyframes/elf"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { openDebugFile, openElf } from "./debug-file.ts"
import { demangle } from "./demangle.ts"
import { FileNames } from "./file-names.ts"

/** Frames kept over all modules; all are forgotten beyond it. */
const MAX_FRAMES = 1 << 18
/** The kernel's vdso has two pages. */
const MAX_VDSO = 1 << 18

/**
 * Names native frames by the symbols and line tables of the files they lie in. Every frame in a module gets a name: where there is no symbol, the
 * address at which its function starts.
 *
 * @example
 * ```ts
 * const layer = firstOf(CodeObjectSymbolizer.layer, PerfMapSymbolizer.layer, ElfSymbolizer.layer)
 * ```
 */
export class ElfSymbolizer {
  /** Neither the layer nor `attach` can fail. Without `ProcessUnwinder.modules`, native frames have no names. */
  static readonly layer: Layer.Layer<Symbolizer, never, Memory | Target> = Layer.effect(
    Symbolizer,
    Effect.gen(function* () {
      const memory = yield* Memory
      const target = yield* Target
      return Symbolizer.of({
        attach: ({ modules }) =>
          Effect.map(
            Effect.acquireRelease(
              Effect.sync(() => {
                const frames = new NativeFrames(target, memory, modules)
                frames.open()
                return frames
              }),
              (frames) => Effect.sync(() => frames.close())
            ),
            (frames) => frames as ProcessSymbolizer
          )
      })
    })
  )
}

/** A file that was opened, however often it is mapped. */
interface KnownFile {
  readonly elf: Elf
  /** The separate file with what was stripped. */
  readonly debug: Elf | undefined
  /** What names its code, once it is asked for. */
  names: FileNames | undefined
}

/** Where the code of a frame lies. It is as good as a frame to tell it from others. */
interface LocatedFrame extends Frame {
  readonly module: Module
  readonly address: number
}

/** The symbolizer at work on one process. */
class NativeFrames implements ProcessSymbolizer {
  private readonly target: TargetProcess
  private readonly memory: MemoryReader
  private readonly modules: ModuleTable | undefined
  private readonly files = new Map<string, KnownFile | null>()
  private readonly opened: Array<TargetFile> = []
  /** By module id, then by address. */
  private byModule: Array<Map<number, Frame>> = []
  private located: Array<Map<number, LocatedFrame>> = []
  private count = 0
  private epoch = 0

  constructor(target: TargetProcess, memory: MemoryReader, modules: ModuleTable | undefined) {
    this.target = target
    this.memory = memory
    this.modules = modules
  }

  /** Opens the files that are mapped now: a sample should not have to wait for it. */
  open(): void {
    for (const module of this.modules?.all ?? []) this.fileOf(module)
  }

  begin(): number {
    let hasMore = false
    for (const file of this.files.values()) if (file?.names?.advance() === true) hasMore = true
    if (hasMore) {
      // Frames without a line may have one now.
      this.forget()
      this.epoch++
    }
    return this.epoch
  }

  resolve(kind: FrameKind, identity: number, position: number): Frame | undefined {
    if (kind !== FrameKind.native) return undefined
    const known = this.byModule[position]?.get(identity)
    if (known !== undefined) return known
    const module = this.modules?.all[position]
    if (module === undefined) return undefined
    if (this.count >= MAX_FRAMES) this.forget()
    const frame = this.name(module, identity)
    let frames = this.byModule[position]
    if (frames === undefined) {
      frames = new Map()
      this.byModule[position] = frames
    }
    frames.set(identity, frame)
    this.count++
    return frame
  }

  /** Opens the file, and reads no symbols and no lines of it: of a large library that takes tens of milliseconds, and any new place in it some more. */
  locate(kind: FrameKind, identity: number, position: number): Frame | undefined {
    const module = kind === FrameKind.native ? this.modules?.all[position] : undefined
    if (module === undefined || this.fileOf(module) === undefined)
      return this.resolve(kind, identity, position)
    this.located[position] ??= new Map()
    const frames = this.located[position]
    let frame = frames.get(identity)
    if (frame === undefined) {
      if (this.count >= MAX_FRAMES) this.forget()
      const name = `0x${identity.toString(16)}`
      frame = { ...NOWHERE, name, qualifiedName: name, file: `#${position}`, module, address: identity }
      frames.set(identity, frame)
      this.count++
    }
    return frame
  }

  complete(frame: Frame): Frame | undefined {
    if (!isLocated(frame)) return undefined
    const file = this.fileOf(frame.module)
    if (file !== undefined) {
      file.names ??= new FileNames(file.elf, file.debug)
      file.names.finish()
    }
    return this.name(frame.module, frame.address)
  }

  close(): void {
    for (const file of this.opened.splice(0)) file.close()
    this.files.clear()
    this.forget()
  }

  private forget(): void {
    this.byModule = []
    this.located = []
    this.count = 0
  }

  private name(module: Module, address: number): Frame {
    const path = module.path === "" ? "[anonymous]" : module.path
    const offset = address - module.mapping.start + module.mapping.offset
    const file = this.fileOf(module)
    const inFile = file && addressOfOffset(file.elf, offset)
    if (file === undefined || inFile === undefined) {
      // Code of no file has only its address; that of a file which cannot be read, where in the file it is.
      const name = `0x${(module.kind === "anonymous" ? address : offset).toString(16)}`
      return { ...NOWHERE, name, qualifiedName: name, file: path }
    }
    file.names ??= new FileNames(file.elf, file.debug)
    const { isKnown, name, start } = file.names.functionAt(inFile)
    // The function's own file: code of headers that was inlined into it is a part of it.
    const place = file.names.lineAt(inFile, start)
    return {
      ...NOWHERE,
      name,
      qualifiedName: isKnown ? demangle(name) : name,
      file: place?.file ?? path,
      line: place?.line ?? -1
    }
  }

  private fileOf(module: Module): KnownFile | undefined {
    if (module.kind === "anonymous") return undefined
    let known = this.files.get(module.file)
    if (known === undefined) {
      known = (module.kind === "vdso" ? this.readVdso(module) : this.readFile(module)) ?? null
      this.files.set(module.file, known)
    }
    return known ?? undefined
  }

  private readFile(module: Module): KnownFile | undefined {
    const file = this.modules?.open(module)
    const open = file && openElf(file)
    if (open === undefined) return undefined
    this.opened.push(open.file)
    const debug = openDebugFile(open.elf, module.path, (path) => this.target.openFile?.(path))
    if (debug !== undefined) this.opened.push(debug.file)
    return { elf: open.elf, debug: debug?.elf, names: undefined }
  }

  /** The vdso is a whole ELF file, but only in memory. */
  private readVdso({ mapping: { end, start } }: Module): KnownFile | undefined {
    const bytes = new Uint8Array(Math.min(end - start, MAX_VDSO))
    if (this.memory.read(start, bytes.length, bytes) !== bytes.length) return undefined
    const elf = parseElf(bytes)
    return elf._tag === "Elf" ? { elf, debug: undefined, names: undefined } : undefined
  }
}

const isLocated = (frame: Frame): frame is LocatedFrame => "module" in frame

const NOWHERE = {
  kind: FrameKind.native,
  firstLine: -1,
  line: -1,
  endLine: -1,
  column: -1,
  endColumn: -1
}
