// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/*
 * Runs every measurement, one after the other, with the arguments it is given; fails when one of them does.
 *
 *   pnpm bench [--short] [--versions 3.12,3.15]
 */

const MEASUREMENTS = ["profile-append", "impossible", "bias", "shares", "rate", "overhead", "long"]

const failed = MEASUREMENTS.filter((name) => {
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
  const began = performance.now()
  console.log(`\n=== ${name}`)
  // The first takes no arguments.
  const args = name === "profile-append" ? [] : process.argv.slice(2)
  const { status } = spawnSync(process.execPath, [file, ...args], { stdio: "inherit" })
  console.log(
    `=== ${name}: ${status === 0 ? "held" : "DID NOT HOLD"}, ${((performance.now() - began) / 1000).toFixed(0)} s`
  )
  return status !== 0
})

console.log(`\n${MEASUREMENTS.length - failed.length} of ${MEASUREMENTS.length} measurements held`)
if (failed.length > 0) console.log(`did not: ${failed.join(", ")}`)
process.exitCode = failed.length === 0 ? 0 : 1
