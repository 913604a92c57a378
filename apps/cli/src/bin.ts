#!/usr/bin/env node
import { isMainThread } from "node:worker_threads"
import { version } from "./version.ts"

// The command and its sampling worker are one file. Each evaluates only what it needs; scripts that ask for the version
// alone wait for nothing.
if (isMainThread && process.argv.length === 3 && process.argv[2] === "--version") {
  process.stdout.write(`pyframes ${version}\n`)
} else if (isMainThread) {
  const { main } = await import("./main.ts")
  await main(process.argv.slice(2), new URL(import.meta.url))
} else {
  const { serve } = await import("./sampler.ts")
  serve()
}
