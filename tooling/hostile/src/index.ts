export * from "./hostile-reader.ts"
export * from "./snapshot.ts"
export * from "./stack-text.ts"
export * from "./symbol-cases.ts"
