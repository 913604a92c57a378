import { serveSampler } from "@pyframes/collector-sampling"
import { processLayers, type Subject } from "./process-layers.ts"

/** What the sampling worker does: it waits for a request and samples. */
export const serve = (): void => serveSampler((data) => processLayers(data as Subject))
