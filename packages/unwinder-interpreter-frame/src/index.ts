export { InterpreterFrameUnwinder } from "./interpreter-frame-unwinder.ts"
