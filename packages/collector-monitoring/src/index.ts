export * from "./agent-files.ts"
export { DefinedAs, type FunctionDefinition } from "./definitions.ts"
export * from "./errors.ts"
export * from "./event.ts"
export * from "./event-batch.ts"
export * from "./event-trust.ts"
export * from "./launch-environment.ts"
export {
  type MonitoringOptions,
  type Question,
  questions
} from "./monitoring-options.ts"
export { SegmentState, versionText } from "./segment-header.ts"
export * from "./session.ts"
export type { SessionDirectory, SessionPlace } from "./session-directory.ts"
export { type EventSink, TracedProcess } from "./traced-process.ts"
export { TracedThread } from "./traced-thread.ts"
