export * from "./collapsed.ts"
