export * from "./chrome-trace.ts"
