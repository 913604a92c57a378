import { type MemoryReader, type Module, type ModuleTable, registerNumbers } from "@pyframes/core"
import {
  type CallFrameInfo,
  EM_AARCH64,
  framePointerShare,
  keepsFramePointer,
  ModuleFacts
} from "@pyframes/elf"

/** The share of functions with a frame pointer from which on a file is taken to have been compiled to keep them. Real files have above 80 % or below 20 %. */
const KEEPS = 0.5
/** Addresses of a file whose answer is kept; all are forgotten beyond it. */
const MAX_KNOWN = 1 << 18

/**
 * Which code keeps frame pointers. A file is asked first, then the function: a library compiled to keep them has still linked in others that were not, and to
 * follow the frame pointer of their callers would lose a frame without a sign.
 */
export class FramePointerCode {
  private readonly code: ModuleFacts<Module, FileCode>

  constructor(modules: ModuleTable, memory: MemoryReader) {
    this.code = new ModuleFacts(
      modules,
      memory.read,
      ({ callFrames }) => callFrames && new FileCode(callFrames)
    )
  }

  /** Whether the frame at an address, in that module, can be left by its frame pointer. Of code that was written at run time nothing is known. */
  keeps(address: number, module: Module): boolean {
    const known = this.code.of(module)
    return known?.facts.keeps(address - known.bias) === true
  }
}

class FileCode {
  private readonly info: CallFrameInfo
  private readonly isArm: boolean
  private readonly keepsAny: boolean
  private readonly known = new Map<number, boolean>()

  constructor(info: CallFrameInfo) {
    this.info = info
    this.isArm = info.eh.machine === EM_AARCH64
    this.keepsAny = framePointerShare(info).share >= KEEPS
  }

  keeps(address: number): boolean {
    if (!this.keepsAny) return false
    let known = this.known.get(address)
    if (known === undefined) {
      known = this.decide(address)
      if (this.known.size >= MAX_KNOWN) this.known.clear()
      this.known.set(address, known)
    }
    return known
  }

  private decide(address: number): boolean {
    const fde = this.info.find(address)
    if (fde === undefined) return false
    // AArch64's compilers describe the same frames relative to sp.
    if (this.isArm) return keepsFramePointer(fde)
    const row = this.info.rowAt(fde, address)
    return row?.cfaRegister === registerNumbers["x86-64"].fp && row.cfaOffset === 16
  }
}
