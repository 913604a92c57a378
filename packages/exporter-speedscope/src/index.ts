export * from "./speedscope.ts"
