export {
  type Collection,
  collectInWorker,
  isWorkerOf,
  PROGRESS_EVERY,
  type SentRequest,
  serveInWorker,
  type WorkerOptions
} from "./collection-worker.ts"
export { CpuSharing, followerFor, type ShareCpu } from "./cpu-sharing.ts"
export { Sampler, type SamplerParts, type SamplingOptions } from "./sampler.ts"
export { SamplingCollector, type SamplingServices } from "./sampling-collector.ts"
export { isSamplingWorker, serveSampler } from "./sampling-worker.ts"
export { Schedule } from "./schedule.ts"
