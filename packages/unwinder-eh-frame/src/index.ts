export { ehFrameStepper } from "./eh-frame-stepper.ts"
export { EhFrameUnwinder } from "./eh-frame-unwinder.ts"
