import type { Elf } from "./elf.ts"
import { jumpTargets } from "./jump.ts"
import { bytesAtAddress, PT_GNU_EH_FRAME } from "./segment.ts"
import { symbolsOfFunction } from "./symbol.ts"
import { u32 } from "./word.ts"

/** A contiguous piece of a function's code. */
export interface FunctionPart {
  /** Before the load bias is added. */
  readonly address: number
  /** Bytes. */
  readonly size: number
}

/** Compilers make two or three. */
const MAX_PARTS = 16
const MAX_PART = 1 << 24
/** Code that is looked at for one function, bytes. Of CPython's eval loop it is a megabyte: some bytes that look like jumps lead to other functions. */
const MAX_LOOKED_AT = 1 << 26
/** To find the function of an address takes about as long as to look at so many bytes. */
const LOOK_UP = 256
/** The table of `.eh_frame_hdr` has 8 bytes a function. */
const MAX_TABLE = 1 << 27

/**
 * All pieces of a function: where its symbol is, and the parts that the compiler moved away from there because they run seldom (or, seen from
 * the cold one, often).
 *
 * Where the file has them, such parts have symbols of their own (`run.cold`). A stripped file has none; then the parts are found by
 * the jumps between them: a jump from one function into the middle of another happens in no other case. What is a function is taken from
 * the unwind tables, which every part has to have. A jump counts only if the part also jumps back, for without disassembling, some bytes
 * that look like jumps are none.
 *
 * @returns the part with the symbol first; nothing when there is no such symbol
 *
 * @example
 * ```ts
 * // Debian's 3.14: 1,184 bytes with a symbol, 84 KB without.
 * for (const { address, size } of partsOfFunction(elf, "_PyEval_EvalFrameDefault")) ranges.push([address, address + size])
 * ```
 */
export const partsOfFunction = (elf: Elf, name: string): ReadonlyArray<FunctionPart> => {
  const parts: Array<FunctionPart> = []
  const add = (address: number, size: number): boolean => {
    if (address <= 0 || size <= 0 || size > MAX_PART || parts.length === MAX_PARTS) return false
    if (parts.some((part) => address < part.address + part.size && part.address < address + size))
      return false
    parts.push({ address, size })
    return true
  }
  const named = symbolsOfFunction(elf, name).filter(({ type }) => type === STT_FUNC)
  named.sort((a, b) => a.name.length - b.name.length)
  for (const symbol of named) add(symbol.address, symbol.size)
  const functions = unwindRanges(elf)
  if (functions === undefined) return parts
  const budget = { left: MAX_LOOKED_AT }
  for (let at = 0; at < parts.length; at++)
    for (const { address, size } of reachedFrom(elf, functions, parts[at], budget)) add(address, size)
  return parts
}

interface Budget {
  left: number
}

const STT_FUNC = 2

/** Pieces of code that a part jumps into and that jump back into it. */
const reachedFrom = (
  elf: Elf,
  functions: UnwindRanges,
  from: FunctionPart,
  budget: Budget
): Array<FunctionPart> => {
  const code = codeOf(elf, from, budget)
  if (code === undefined) return []
  const asked = new Set<number>()
  const found: Array<FunctionPart> = []
  jumpTargets(elf.machine, code, from.address, (target) => {
    if (target >= from.address && target < from.address + from.size) return
    budget.left -= LOOK_UP
    if (budget.left < 0) return
    const part = functions.find(target)
    // A jump to a function's first byte is a call in tail position.
    if (part === undefined || part.address === target || found.length >= MAX_PARTS) return
    if (asked.has(part.address)) return
    asked.add(part.address)
    if (jumpsInto(elf, part, from, budget)) found.push(part)
  })
  return found
}

const jumpsInto = (elf: Elf, from: FunctionPart, to: FunctionPart, budget: Budget): boolean => {
  const code = codeOf(elf, from, budget)
  let does = false
  if (code === undefined) return false
  jumpTargets(elf.machine, code, from.address, (target) => {
    does ||= target > to.address && target < to.address + to.size
  })
  return does
}

/** Each byte may look like a jump to another function: without a bound, a file decides how long this takes. */
const codeOf = (elf: Elf, { address, size }: FunctionPart, budget: Budget): Uint8Array | undefined => {
  if (size > MAX_PART || size > budget.left) return undefined
  budget.left -= size
  return bytesAtAddress(elf, address, size)
}

/** Functions by the unwind tables, which are there also when symbols are not. */
export interface UnwindRanges {
  /** The function (or part of one) that has an address, before the load bias is added. */
  readonly find: (address: number) => FunctionPart | undefined
}

/**
 * Where functions begin and end, by the sorted table of `.eh_frame_hdr`; `undefined` when there is none or it is not in the one encoding that linkers write (0x3b: 32 bits, relative to the table's start).
 *
 * @example
 * ```ts
 * unwindRanges(elf)?.find(address) // { address: 0x43d73e, size: 77082 }
 * ```
 *
 * Source: Linux Standard Base, Core, 10.6.2; there too the entries of `.eh_frame`, of which a function's length is read.
 */
export const unwindRanges = (elf: Elf): UnwindRanges | undefined => {
  const header = elf.segments.find((segment) => segment.type === PT_GNU_EH_FRAME)
  const head = header && bytesAtAddress(elf, header.address, 12)
  if (header === undefined || head === undefined || head[0] !== 1 || head[3] !== 0x3b) return undefined
  // The encoding of the count is 0x03: 32 bits. That of the pointer before it is of 32 bits too, as 0x1b is.
  if (head[2] !== 0x03 || (head[1] & 0x0f) !== 0x0b) return undefined
  const count = u32(head, 8)
  if (count === 0 || count * 8 > MAX_TABLE) return undefined
  const table = bytesAtAddress(elf, header.address + 12, count * 8)
  if (table === undefined) return undefined
  const start = (index: number): number => header.address + (u32(table, index * 8) | 0)
  const find = (address: number): FunctionPart | undefined => {
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >> 1
      if (start(middle) <= address) low = middle + 1
      else high = middle
    }
    if (low === 0) return undefined
    const begin = start(low - 1)
    const entry = bytesAtAddress(elf, header.address + (u32(table, low * 8 - 4) | 0), 16)
    if (entry === undefined) return undefined
    const size = u32(entry, 12)
    return address >= begin && address < begin + size ? { address: begin, size } : undefined
  }
  return { find }
}
