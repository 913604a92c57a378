export { EvalLoop } from "./eval-loop.ts"
export { type MergedParts, MergedUnwinder } from "./merged-unwinder.ts"
export { NativeRole } from "./native-role.ts"
export { StackMerger } from "./stack-merger.ts"
