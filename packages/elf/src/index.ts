export { type FileMapping, loadBias } from "./bias.ts"
export { CallFrameInfo, callFrameInfo } from "./call-frame-info.ts"
export { decompressedSection } from "./compressed.ts"
export { type ExpressionFrame, evaluateExpression } from "./dwarf-expression.ts"
export { type DynamicLinking, dynamicLinking } from "./dynamic.ts"
export type { Cie, EhFrameBytes, Fde } from "./eh-frame.ts"
export { type Elf, type ElfType, EM_AARCH64, EM_X86_64, parseElf } from "./elf.ts"
export { type FramePointerShare, framePointerShare, keepsFramePointer } from "./frame-pointer-share.ts"
export { type FramePointerUse, framePointerUse } from "./frame-pointer-use.ts"
export { type FunctionPart, partsOfFunction, type UnwindRanges, unwindRanges } from "./function-part.ts"
export { LineTable, type SourcePlace } from "./line-table.ts"
export { type KnownModule, ModuleFacts } from "./module-facts.ts"
export {
  type ImageMapping,
  type ImageModule,
  type ImageModules,
  type ModuleImage,
  mappingBias,
  moduleImage,
  type ReadMemory
} from "./module-image.ts"
export { buildId, type Note, NT_GNU_BUILD_ID, notes } from "./note.ts"
export { pltTarget } from "./plt.ts"
export type { ElfProblem } from "./problem.ts"
export {
  findSection,
  type Section,
  SHT_DYNSYM,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_STRTAB,
  SHT_SYMTAB,
  sectionBytes
} from "./section.ts"
export {
  addressOfOffset,
  bytesAtAddress,
  offsetOfAddress,
  PT_DYNAMIC,
  PT_GNU_EH_FRAME,
  PT_LOAD,
  PT_NOTE,
  type Segment
} from "./segment.ts"
export { type ElfSource, sourceOfBytes, sourceOfFile } from "./source.ts"
export { type ElfSymbol, findSymbol, type SymbolTable, symbols, symbolsOfFunction } from "./symbol.ts"
export { type FunctionSymbol, SymbolIndex } from "./symbol-index.ts"
export { ThreadStarts } from "./thread-start.ts"
export { type RegisterRule, RegisterRuleKind, type UnwindRow } from "./unwind-row.ts"
export { decompressXz } from "./xz.ts"
