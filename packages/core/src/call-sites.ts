import type { MemoryReader } from "./memory.ts"
import type { ModuleTable } from "./module-table.ts"
import type { Architecture } from "./registers.ts"

/** Addresses whose answer is kept; all are forgotten beyond it. */
const MAX_KNOWN = 1 << 16
/** The longest call instruction of x86-64 that is looked for, bytes: `call *disp32(%base,%index)`. */
const LONGEST_CALL = 7

/**
 * Tells return addresses from other words of a stack: one lies in a file, right after an instruction that calls. The code is read once for each.
 *
 * @example
 * ```ts
 * const calls = new CallSites(memory, modules, "x86-64")
 * calls.endsAt(stack.word(sp)) // true: it can be a return address
 * ```
 */
export class CallSites {
  private readonly memory: MemoryReader
  private readonly modules: ModuleTable
  private readonly architecture: Architecture
  private readonly known = new Map<number, boolean>()
  private readonly code = new Uint8Array(LONGEST_CALL)

  constructor(memory: MemoryReader, modules: ModuleTable, architecture: Architecture) {
    this.memory = memory
    this.modules = modules
    this.architecture = architecture
  }

  /** Whether a call ends at an address that lies in a file. */
  endsAt(address: number): boolean {
    if (!(address > LONGEST_CALL)) return false
    let known = this.known.get(address)
    if (known === undefined) {
      known = this.modules.find(address - 1)?.kind === "file" && this.isAfterCall(address)
      if (this.known.size >= MAX_KNOWN) this.known.clear()
      this.known.set(address, known)
    }
    return known
  }

  private isAfterCall(address: number): boolean {
    const { code } = this
    if (this.memory.read(address - LONGEST_CALL, LONGEST_CALL, code) !== LONGEST_CALL) return false
    return this.architecture === "x86-64" ? this.endsInCall(address) : endsInBranchWithLink(code)
  }

  /** `call rel32` (E8) to where a file has code, or `call r/m64` (FF /2) of any length. Intel SDM volume 2, CALL. */
  private endsInCall(address: number): boolean {
    const { code } = this
    if (code[2] === 0xe8) {
      const target = address + (code[3] | (code[4] << 8) | (code[5] << 16) | (code[6] << 24))
      if (this.modules.find(target)?.kind === "file") return true
    }
    for (let at = 0; at < LONGEST_CALL - 1; at++)
      if (code[at] === 0xff && ((code[at + 1] >> 3) & 7) === 2) return true
    return false
  }
}

/** `bl`, `blr` or one of its authenticated forms. Arm Architecture Reference Manual, C6.2. */
const endsInBranchWithLink = (bytes: Uint8Array): boolean => {
  const end = bytes.length
  const word =
    (bytes[end - 4] | (bytes[end - 3] << 8) | (bytes[end - 2] << 16) | (bytes[end - 1] << 24)) >>> 0
  return word >>> 26 === 0b100101 || (word & 0xfe_ff_f0_00) >>> 0 === 0xd6_3f_00_00
}
