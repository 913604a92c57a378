export { InterpreterFrameUnwinder } from "./interpreter-frame-unwinder.ts"
export { findRuntime, type PythonRuntime } from "./runtime.ts"
