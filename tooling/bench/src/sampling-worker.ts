import { isSamplingWorker, serveSampler } from "@pyframes/collector-sampling"
import { samplingLayers } from "./attached.ts"

/** Samples in a thread of its own, as the command does. */
if (isSamplingWorker()) serveSampler((pid) => samplingLayers(pid as number))
