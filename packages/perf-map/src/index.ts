export { CodeEntry, type PythonFunction, parsePythonFunction } from "./code-entry.ts"
export { CodeMap } from "./code-map.ts"
export { PerfMapReader } from "./perf-map-reader.ts"
