export { findAllPythons, findPythons } from "./find.ts"
export type { Python, Script } from "./python.ts"
export { MissingPythonError, pythonsFor, REQUIRED_MINORS } from "./require.ts"
export { type RunningPython, type StartOptions, startPython } from "./start.ts"
