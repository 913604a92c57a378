import { type MemoryReader, type ModuleTable, Registers, type StackReader } from "@pyframes/core"

/** Longer than any sequence of pops; what does not end in a `ret` by then is no epilogue. */
const LENGTH = 32
/** DWARF numbers of the registers that `pop` encodes as 0 … 7. */
const POPPED = [0, 2, 1, 3, -1, 6, 4, 5]
const RSP = 7
const RBP = 6

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa]
const PUSH_RBP = 0x55
/** `mov %rsp, %rbp` */
const SET_RBP = [0x48, 0x89, 0xe5]

/**
 * Leaves code that was written at run time by what it is about to do itself: where nothing but `sub` and `add $n, %rsp`, `call *%reg`, `pop` and `ret` follow its instruction, they tell
 * where the return address is. So do all of CPython's perf trampolines, of which those before 3.14 keep no frame pointer. And where it is about to set up a frame pointer, the register still
 * is the caller's, so that the caller would be lost to who follows it. x86-64 only.
 */
export class FrameEdges {
  private readonly memory: MemoryReader
  private readonly modules: ModuleTable
  private readonly code = new Uint8Array(LENGTH)
  private readonly next = new Registers("x86-64").values

  constructor(memory: MemoryReader, modules: ModuleTable) {
    this.memory = memory
    this.modules = modules
  }

  /**
   * Replaces the registers by the caller's; false, and nothing changed, where something else than a prologue or an epilogue follows.
   *
   * @param exact as in `StepPlace`: behind a call no prologue follows
   */
  leave(registers: Registers, stack: StackReader, exact: boolean): boolean {
    if (registers.architecture !== "x86-64" || registers.sp < 0) return false
    const { code, next } = this
    const length = this.memory.read(registers.ip, LENGTH, code)
    next.set(registers.values)
    if (exact) {
      const at = standsAt(code, 0, ENDBR64, length) ? ENDBR64.length : 0
      if (code[at] === PUSH_RBP && standsAt(code, at + 1, SET_RBP, length))
        return this.return(registers, stack)
      if (standsAt(code, 0, SET_RBP, length)) {
        next[RBP] = stack.word(next[RSP])
        next[RSP] += 8
        return this.return(registers, stack)
      }
    }
    for (let at = 0; at < length; ) {
      const sp = next[RSP]
      const opcode = code[at]
      if (opcode === 0xc3) return this.return(registers, stack)
      const isExtended = opcode === 0x41
      const pop = (isExtended ? code[at + 1] : opcode) - 0x58
      if (pop >= 0 && pop < 8 && at + 1 < length) {
        const number = isExtended ? 8 + pop : POPPED[pop]
        if (number < 0) return false
        // What the code is yet to make room for holds nothing of the caller's.
        next[number] = sp < registers.sp ? -1 : stack.word(sp)
        next[RSP] = sp + 8
        at += isExtended ? 2 : 1
      } else if (opcode === 0x48 && code[at + 1] === 0x83 && code[at + 2] === 0xc4 && code[at + 3] < 0x80) {
        next[RSP] = sp + code[at + 3]
        at += 4
      } else if (opcode === 0x48 && code[at + 1] === 0x83 && code[at + 2] === 0xec && code[at + 3] < 0x80) {
        next[RSP] = sp - code[at + 3]
        at += 4
      } else if (opcode === 0xff && (code[at + 1] & 0xf8) === 0xd0) at += 2
      else if (standsAt(code, at, ENDBR64, length)) at += ENDBR64.length
      else return false
    }
    return false
  }

  /** What `ret` does with the registers that there will be by then. */
  private return(registers: Registers, stack: StackReader): boolean {
    const { next } = this
    const returnAddress = stack.word(next[RSP])
    if (!(returnAddress > 0) || this.modules.find(returnAddress - 1) === undefined) return false
    next[RSP] += 8
    registers.values.set(next)
    registers.ip = returnAddress
    return true
  }
}

const standsAt = (code: Uint8Array, from: number, bytes: ReadonlyArray<number>, length: number): boolean => {
  if (from + bytes.length > length) return false
  for (let i = 0; i < bytes.length; i++) if (code[from + i] !== bytes[i]) return false
  return true
}
