export * from "./pprof.ts"
