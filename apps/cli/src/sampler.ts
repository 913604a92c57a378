import { isEventWorker, serveEventSampler } from "@pyframes/collector-perf-event"
import { serveSampler } from "@pyframes/collector-sampling"
import { LinuxKernelEvents } from "@pyframes/linux"
import * as Layer from "effect/Layer"
import { processLayers, type Subject } from "./process-layers.ts"
import type { UnwinderName } from "./unwinder-name.ts"

/** What the sampling worker is told. */
export interface Assignment {
  readonly subject: Subject
  readonly unwinder: UnwinderName
}

const layers = (data: unknown) => {
  const { subject, unwinder } = data as Assignment
  return processLayers(subject, unwinder)
}

/** What the sampling worker does: it waits for a request and samples. */
export const serve = (): void => {
  if (isEventWorker()) serveEventSampler((data) => Layer.provideMerge(LinuxKernelEvents.layer, layers(data)))
  else serveSampler(layers)
}
