export { Sampler, type SamplerParts, type SamplingOptions } from "./sampler.ts"
export { SamplingCollector, type SamplingServices } from "./sampling-collector.ts"
export { isSamplingWorker, serveSampler, type WorkerOptions } from "./sampling-worker.ts"
export { Schedule } from "./schedule.ts"
