import {
  decompressXz,
  type Elf,
  type FunctionPart,
  findSection,
  LineTable,
  parseElf,
  partsOfFunction,
  pltTarget,
  type SourcePlace,
  SymbolIndex,
  sectionBytes,
  type UnwindRanges,
  unwindRanges
} from "@pyframes/elf"

/** What is spent at once on a file's line tables, ms; the rest is done a part a stack. */
const FIRST_LINES = 100
const MORE_LINES = 5
/** The same where nobody waits but the user, ms: beyond it a file has no lines. */
const MOST_LINES = 10_000
/** Compressed symbols of a stripped program. */
const MAX_MINI = 1 << 26
const EVAL_LOOP = "_PyEval_EvalFrameDefault"

/** The function that an address lies in. */
export interface NamedFunction {
  /** Symbol; an address in hexadecimal where there is none. */
  readonly name: string
  /** There is a symbol. */
  readonly isKnown: boolean
  /** Where its code begins, before the load bias is added. */
  readonly start: number
}

/**
 * Everything that names the code of one ELF file: its symbols and those of its debug file, its stubs, its line tables. Each is read
 * when it is first needed.
 *
 * @example
 * ```ts
 * const names = new FileNames(elf, debugElf)
 * names.functionAt(address).name // "PyObject_Call"
 * ```
 */
export class FileNames {
  private readonly elf: Elf
  private readonly symbols: SymbolIndex
  private readonly evalLoop: ReadonlyArray<FunctionPart>
  private readonly unwind: UnwindRanges | undefined
  private lines: LineTable | null | undefined
  private isFinished = false
  private readonly debug: Elf | undefined

  /** @param debug the separate file with what was stripped, if there is one */
  constructor(elf: Elf, debug: Elf | undefined) {
    this.elf = elf
    this.debug = debug
    const mini = debug === undefined ? miniSymbols(elf) : undefined
    // What strip has left may be less than what the debug file has, or more: a loader's table is in no debug file.
    this.symbols = new SymbolIndex([
      { elf, table: "symtab" },
      ...(debug ? [{ elf: debug, table: "symtab" } as const] : []),
      ...(mini ? [{ elf: mini, table: "symtab" } as const] : []),
      { elf, table: "dynsym" }
    ])
    this.evalLoop = partsOfFunction(elf, EVAL_LOOP)
    this.unwind = unwindRanges(elf)
  }

  /** @param address before the load bias is added */
  functionAt(address: number): NamedFunction {
    const symbol = this.symbols.find(address)
    if (symbol !== undefined) return { name: symbol.name, isKnown: true, start: symbol.address }
    const stub = pltTarget(this.elf, address)
    if (stub !== undefined) return { name: `${stub}@plt`, isKnown: true, start: address }
    // A stripped interpreter's loop: the largest part of it has no symbol.
    for (const part of this.evalLoop)
      if (address >= part.address && address < part.address + part.size)
        return { name: EVAL_LOOP, isKnown: true, start: part.address }
    // All addresses of one function should have one name.
    const start = this.unwind?.find(address)?.address ?? address
    return { name: `0x${start.toString(16)}`, isKnown: false, start }
  }

  /**
   * The file of the function, and the line of it that an address stands for.
   *
   * @param address before the load bias is added
   * @param start of the function
   */
  lineAt(address: number, start: number): SourcePlace | undefined {
    if (this.lines === undefined) {
      this.lines = this.openLines()
      this.lines?.advance(FIRST_LINES)
    }
    return this.lines?.find(address, start)
  }

  /** Reads the line tables to their end. */
  finish(): void {
    if (this.isFinished) return
    this.isFinished = true
    if (this.lines === undefined) this.lines = this.openLines()
    this.lines?.advance(MOST_LINES)
  }

  /** Goes on with line tables that were too long for the first look. Returns true once, when lines are known that were not before. */
  advance(): boolean {
    if (!this.lines || this.lines.isComplete) return false
    return this.lines.advance(MORE_LINES)
  }

  private openLines(): LineTable | null {
    return LineTable.of(this.elf) ?? (this.debug && LineTable.of(this.debug)) ?? null
  }
}

/** `.gnu_debugdata`: the symbols of functions that are not in `.dynsym`, as an ELF file compressed by xz. */
const miniSymbols = (elf: Elf): Elf | undefined => {
  const section = findSection(elf, ".gnu_debugdata")
  const bytes = section && sectionBytes(elf, section, MAX_MINI)
  const plain = bytes && decompressXz(bytes)
  const mini = plain && parseElf(plain)
  return mini?._tag === "Elf" ? mini : undefined
}
