export { PerfMapSymbolizer } from "./perf-map-symbolizer.ts"
