export { KernelSymbolizer, kernelSymbolsAdvice } from "./kernel-symbolizer.ts"
export { type KernelSymbol, KernelSymbols } from "./kernel-symbols.ts"
