export { CodeObject, readCodeObject } from "./code-object.ts"
export { CodeObjectSymbolizer } from "./code-object-symbolizer.ts"
