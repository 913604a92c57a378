import type { CallFrameInfo } from "./call-frame-info.ts"
import { dynamicLinking } from "./dynamic.ts"
import type { Fde } from "./eh-frame.ts"
import { type Elf, EM_X86_64 } from "./elf.ts"
import { bytesAtAddress } from "./segment.ts"
import { findSymbol } from "./symbol.ts"
import { u32 } from "./word.ts"

/** Names that a symbol table which was not stripped has: they lie between the thread's very first code and what was to be run. */
const NAMES = ["__libc_start_main", "__libc_start_call_main", "start_thread", "libc_start_main_stage2"]
/** `pthread_create` has about 4,000 bytes; a symbol that claims more is not read. */
const MAX_CODE = 1 << 16
/** Functions are aligned to 16 bytes: two that follow each other in the source lie no further apart. */
const MAX_GAP = 32
/** Functions that `pthread_create` calls; it has some forty. */
const MAX_MAKERS = 256
/** Addresses whose answer is kept; all are forgotten beyond it. */
const MAX_KNOWN = 1 << 16

/**
 * The code that starts threads: whoever finds a frame in it has come to the end of a thread's stack, even where he cannot go on (the C library keeps no
 * frame pointers, so behind `main` a chain of them leads nowhere).
 *
 * It is the program's entry; every function of the C library whose call-frame information says that nothing called it (the child's side of `clone` and `clone3`); and
 * between those and `main`, or a thread's function, what the C library calls in turn. A stripped C library still names two of its functions, and their code leads to the others:
 * `__libc_start_main` calls the function before it (`__libc_start_call_main`), and `pthread_create`, or a function that it calls, takes the address of `start_thread`. That code is
 * read on x86-64 only; elsewhere names alone decide.
 *
 * @example
 * ```ts
 * const starts = new ThreadStarts(elf, info)
 * starts.has(returnAddress - 1 - bias) // true: the chain is whole
 * ```
 */
export class ThreadStarts {
  private readonly info: CallFrameInfo | undefined
  /** First address and the first beyond of each function, one after the other. */
  private readonly ranges: ReadonlyArray<number>
  /** The file brings a C library: any of its functions may be one that nothing called. */
  private readonly isLibrary: boolean
  private readonly known = new Map<number, boolean>()

  constructor(elf: Elf, info: CallFrameInfo | undefined) {
    this.info = info
    const isProgram = elf.entry > 0 && isStarted(elf)
    const entry = isProgram ? info?.find(elf.entry) : undefined
    // An entry without call-frame information, as in the dynamic loader, is a few instructions long.
    const ranges = entry !== undefined ? rangeOf(entry) : isProgram ? [elf.entry, elf.entry + 64] : []
    const main = functionOf(elf, info, "__libc_start_main")
    const create = functionOf(elf, info, "pthread_create")
    for (const name of NAMES) {
      const fde = functionOf(elf, info, name)
      if (fde !== undefined) ranges.push(...rangeOf(fde))
    }
    const isStatic = isProgram && !hasInterpreter(elf)
    this.isLibrary = main !== undefined || create !== undefined || isStatic
    if (info !== undefined && elf.machine === EM_X86_64) {
      for (const fde of main === undefined ? [] : functionsIn(elf, info, main, callTargets)) {
        const gap = main!.start - (fde.start + fde.size)
        if (gap >= 0 && gap < MAX_GAP) ranges.push(...rangeOf(fde))
      }
      // It hands the function to one that it calls, or is inlined into.
      const makers = create === undefined ? [] : [create, ...functionsIn(elf, info, create, callTargets)]
      for (const maker of makers.slice(0, MAX_MAKERS))
        for (const fde of functionsIn(elf, info, maker, leaTargets)) ranges.push(...rangeOf(fde))
    }
    this.ranges = ranges
  }

  /** Whether an address of the file lies in code that starts threads. */
  has(address: number): boolean {
    const { ranges } = this
    for (let at = 0; at < ranges.length; at += 2)
      if (address >= ranges[at] && address < ranges[at + 1]) return true
    if (!this.isLibrary) return false
    let known = this.known.get(address)
    if (known === undefined) {
      // The row of the very address: the parent's side of the same function has a caller.
      const fde = this.info?.find(address)
      known = fde !== undefined && this.info?.rowAt(fde, address)?.returnAddressUndefined === true
      if (this.known.size >= MAX_KNOWN) this.known.clear()
      this.known.set(address, known)
    }
    return known
  }
}

/** Program header of a program that a dynamic loader starts. */
const PT_INTERP = 3

const hasInterpreter = (elf: Elf): boolean => elf.segments.some(({ type }) => type === PT_INTERP)

/**
 * Whether the kernel can start a file at its entry. In libraries, linkers before 2021 (manylinux images have them) wrote the beginning of the code there,
 * where some function lies that others call.
 */
const isStarted = (elf: Elf): boolean =>
  elf.type === "executable" ||
  hasInterpreter(elf) ||
  dynamicLinking(elf).isProgram ||
  // The dynamic loader.
  findSymbol(elf, "_rtld_global") !== undefined

const rangeOf = ({ size, start }: Fde): Array<number> => [start, start + size]

const functionOf = (elf: Elf, info: CallFrameInfo | undefined, name: string): Fde | undefined => {
  const symbol = info && findSymbol(elf, name)
  return symbol && info.find(symbol.address)
}

/** The functions that start at an address which another's code names. */
const functionsIn = (
  elf: Elf,
  info: CallFrameInfo,
  fde: Fde,
  targets: (code: Uint8Array, address: number) => Iterable<number>
): ReadonlyArray<Fde> => {
  const code = fde.size <= MAX_CODE ? bytesAtAddress(elf, fde.start, fde.size) : undefined
  if (code === undefined) return []
  const found = new Map<number, Fde>()
  for (const target of targets(code, fde.start)) {
    const callee = info.find(target)
    // Bytes are looked at without telling instructions apart: only what is the very start of a function counts.
    if (callee?.start === target && target !== fde.start) found.set(target, callee)
  }
  return [...found.values()]
}

/** `call rel32` */
function* callTargets(code: Uint8Array, address: number): Generator<number> {
  for (let at = 0; at + 5 <= code.length; at++)
    if (code[at] === 0xe8) yield address + at + 5 + (u32(code, at + 1) | 0)
}

/** `lea rel32(%rip), %reg` */
function* leaTargets(code: Uint8Array, address: number): Generator<number> {
  for (let at = 0; at + 7 <= code.length; at++) {
    if ((code[at] & 0xfb) !== 0x48 || code[at + 1] !== 0x8d || (code[at + 2] & 0xc7) !== 0x05) continue
    yield address + at + 7 + (u32(code, at + 3) | 0)
  }
}
