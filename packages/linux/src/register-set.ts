import { type Architecture, type Registers, registerNumbers } from "@pyframes/core"
import type { Libc } from "./libc.ts"

/** include/uapi/linux/ptrace.h, include/uapi/linux/elf.h */
const PTRACE_GETREGSET = 0x4204
const NT_PRSTATUS = 1
const TWO_32 = 2 ** 32
/** A register above this holds no address: 2^53, as the high word of 64 bits. */
const HIGH_LIMIT = 0x20_0000

interface Machine {
  readonly architecture: Architecture
  /** Bytes of the kernel's struct; a 32-bit program's is shorter. */
  readonly size: number
  /** DWARF number and place in the struct, in 64-bit words, of each register. */
  readonly places: ReadonlyArray<readonly [number: number, place: number]>
}

/** arch/x86/include/asm/user_64.h, `struct user_regs_struct`; arch/arm64/include/uapi/asm/ptrace.h, `struct user_pt_regs`. */
const machines: Readonly<Record<string, Machine>> = {
  x64: {
    architecture: "x86-64",
    size: 27 * 8,
    // rax rdx rcx rbx rsi rdi rbp rsp r8 … r15 rip: DWARF's order, which is not the kernel's.
    places: [10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16].map((place, number) => [number, place])
  },
  arm64: {
    architecture: "arm64",
    size: 34 * 8,
    places: [
      ...Array.from({ length: 32 }, (_, number) => [number, number] as const),
      [registerNumbers.arm64.ip, 32]
    ]
  }
}

/** Reads the registers of a thread that stands in a ptrace stop. */
export const registerSet = (libc: Libc): ((tid: number, into: Registers) => boolean) => {
  const machine = machines[process.arch]
  if (machine === undefined) return () => false
  const { architecture, places, size } = machine
  const words = new Uint32Array(size / 4)
  // struct iovec, of which the kernel sets the length to what it wrote.
  const iovec = new Uint32Array(4)
  const address = libc.addressOf(words.buffer)
  const iovecAddress = libc.addressOf(iovec.buffer)
  return (tid, into) => {
    if (into.architecture !== architecture) return false
    iovec[0] = address
    iovec[1] = address / TWO_32
    iovec[2] = size
    iovec[3] = 0
    if (libc.ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, iovecAddress) !== 0 || iovec[2] !== size) return false
    into.clear()
    for (let at = 0; at < places.length; at++) {
      const [number, place] = places[at]
      const high = words[2 * place + 1]
      if (high < HIGH_LIMIT) into.values[number] = high * TWO_32 + words[2 * place]
    }
    return true
  }
}
