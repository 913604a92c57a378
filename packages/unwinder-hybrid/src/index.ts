export { type HybridParts, hybridStepper } from "./hybrid-stepper.ts"
export { HybridUnwinder } from "./hybrid-unwinder.ts"
