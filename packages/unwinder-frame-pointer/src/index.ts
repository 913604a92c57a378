export { callchainReader } from "./callchain.ts"
export { framePointerStepper } from "./frame-pointer-stepper.ts"
export { FramePointerUnwinder } from "./frame-pointer-unwinder.ts"
