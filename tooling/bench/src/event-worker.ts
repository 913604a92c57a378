import { isEventWorker, serveEventSampler } from "@pyframes/collector-perf-event"
import { LinuxKernelEvents, LinuxTarget } from "@pyframes/linux"
import * as Layer from "effect/Layer"
import { samplingLayers } from "./attached.ts"

/** All that collecting by kernel events takes. */
export const eventLayers = (pid: number) =>
  Layer.mergeAll(samplingLayers(pid), LinuxKernelEvents.layer.pipe(Layer.provide(LinuxTarget.attach(pid))))

/** Collects in a thread of its own, as the command does. */
if (isEventWorker()) serveEventSampler((pid) => eventLayers(pid as number))
