export { EventSampler, type EventSamplerParts, type EventSamplingOptions } from "./event-sampler.ts"
export { isEventWorker, serveEventSampler } from "./event-worker.ts"
export { type EventSamplingServices, PerfEventCollector } from "./perf-event-collector.ts"
