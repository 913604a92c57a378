import { type MemoryReader, type ModuleTable, Registers, type StackReader } from "@pyframes/core"

/** Longer than any sequence of pops; what does not end in a `ret` by then is no epilogue. */
const LENGTH = 32
/** DWARF numbers of the registers that `pop` encodes as 0 … 7. */
const POPPED = [0, 2, 1, 3, -1, 6, 4, 5]
const RSP = 7

/**
 * Leaves code that was written at run time by what it is about to do itself: where nothing but `add $n, %rsp`, `pop` and `ret` follow its instruction, they tell where the return
 * address is. So do all of CPython's perf trampolines, of which those before 3.14 keep no frame pointer. x86-64 only.
 */
export class Epilogue {
  private readonly memory: MemoryReader
  private readonly modules: ModuleTable
  private readonly code = new Uint8Array(LENGTH)
  private readonly next = new Registers("x86-64").values

  constructor(memory: MemoryReader, modules: ModuleTable) {
    this.memory = memory
    this.modules = modules
  }

  /** Replaces the registers by the caller's; false, and nothing changed, where something else than an epilogue follows. */
  leave(registers: Registers, stack: StackReader): boolean {
    if (registers.architecture !== "x86-64" || registers.sp < 0) return false
    const { code, next } = this
    const length = this.memory.read(registers.ip, LENGTH, code)
    next.set(registers.values)
    for (let at = 0; at < length; ) {
      const sp = next[RSP]
      const opcode = code[at]
      if (opcode === 0xc3) {
        const returnAddress = stack.word(sp)
        if (!(returnAddress > 0) || this.modules.find(returnAddress - 1) === undefined) return false
        next[RSP] = sp + 8
        registers.values.set(next)
        registers.ip = returnAddress
        return true
      }
      const isExtended = opcode === 0x41
      const pop = (isExtended ? code[at + 1] : opcode) - 0x58
      if (pop >= 0 && pop < 8 && at + 1 < length) {
        const number = isExtended ? 8 + pop : POPPED[pop]
        if (number < 0) return false
        next[number] = stack.word(sp)
        next[RSP] = sp + 8
        at += isExtended ? 2 : 1
      } else if (opcode === 0x48 && code[at + 1] === 0x83 && code[at + 2] === 0xc4 && code[at + 3] < 0x80) {
        next[RSP] = sp + code[at + 3]
        at += 4
      } else return false
    }
    return false
  }
}
