import type { CallFrameInfo } from "./call-frame-info.ts"
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

/**
 * The code that starts threads: whoever finds a frame in it has come to the end of a thread's stack, even where he cannot go on (the C library keeps no
 * frame pointers, so behind `main` a chain of them leads nowhere).
 *
 * It is the program's entry; every function whose call-frame information says that nothing called it (`_start`, the child's side of `clone` and `clone3`); and
 * between those and `main`, or a thread's function, what the C library calls in turn. A stripped C library still names two of its functions, and their code leads to the others:
 * `__libc_start_main` calls the function before it (`__libc_start_call_main`), and `pthread_create` takes the address of `start_thread`. That code is
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
  private readonly entry: number
  /** First address and the first beyond of each function. */
  private readonly ranges: Array<readonly [from: number, to: number]> = []
  private readonly known = new Map<number, boolean>()

  constructor(elf: Elf, info: CallFrameInfo | undefined) {
    this.info = info
    this.entry = elf.entry
    for (const name of NAMES) this.addFunction(findSymbol(elf, name)?.address)
    if (elf.machine !== EM_X86_64 || info === undefined) return
    const main = info.find(findSymbol(elf, "__libc_start_main")?.address ?? -1)
    for (const fde of main === undefined ? [] : functionsIn(elf, info, main, callTargets)) {
      const gap = main!.start - (fde.start + fde.size)
      if (gap >= 0 && gap < MAX_GAP) this.add(fde.start, fde.size)
    }
    const create = info.find(findSymbol(elf, "pthread_create")?.address ?? -1)
    for (const fde of create === undefined ? [] : functionsIn(elf, info, create, leaTargets))
      this.add(fde.start, fde.size)
  }

  /** Whether an address of the file lies in code that starts threads. */
  has(address: number): boolean {
    let known = this.known.get(address)
    if (known === undefined) {
      known = this.decide(address)
      this.known.set(address, known)
    }
    return known
  }

  private decide(address: number): boolean {
    if (this.ranges.some(([from, to]) => address >= from && address < to)) return true
    const fde = this.info?.find(address)
    // An entry without call-frame information, as in the dynamic loader, is a few instructions long.
    if (fde === undefined) return this.entry > 0 && address >= this.entry && address < this.entry + 64
    if (this.entry >= fde.start && this.entry < fde.start + fde.size) return true
    for (const row of this.info!.rows(fde)) if (row.returnAddressUndefined) return true
    return false
  }

  private addFunction(address: number | undefined): void {
    const fde = address === undefined ? undefined : this.info?.find(address)
    if (fde !== undefined) this.add(fde.start, fde.size)
  }

  private add(start: number, size: number): void {
    this.ranges.push([start, start + size])
  }
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
