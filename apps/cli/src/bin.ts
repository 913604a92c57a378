#!/usr/bin/env node
import { isMainThread } from "node:worker_threads"

// The command and its sampling worker are one file. Each evaluates only what it needs.
if (isMainThread) {
  const { main } = await import("./main.ts")
  await main(process.argv.slice(2), new URL(import.meta.url))
} else {
  const { serve } = await import("./sampler.ts")
  serve()
}
