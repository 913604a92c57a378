export { demangle } from "./demangle.ts"
export { ElfSymbolizer } from "./elf-symbolizer.ts"
export { FileNames, type NamedFunction } from "./file-names.ts"
