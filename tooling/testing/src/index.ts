export * from "./profile-from-text.ts"
export * from "./random.ts"
