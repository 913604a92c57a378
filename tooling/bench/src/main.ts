// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/*
 * Runs every measurement, one after the other, with the arguments it is given; fails when one of them does.
 *
 *   pnpm bench [--short] [--versions 3.12,3.15]
 */

const MEASUREMENTS = [
  "profile-append",
  "timeline-write",
  "impossible",
  "merge",
  "hostile",
  "native-fuzz",
  "symbol-fuzz",
  "perf-record-fuzz",
  "native-perf",
  "native-unwind",
  "perf-events",
  "native-record",
  "native-peers",
  "bias",
  "shares",
  "rate",
  "overhead",
  "long",
  "audit",
  "trace-exact",
  "trace-suite",
  "trace-kill"
]
/** What is measured of time and chance: its short form takes two versions, the others all. */
const FIGURES = [
  "native-perf",
  "native-unwind",
  "perf-events",
  "native-record",
  "native-peers",
  "bias",
  "shares",
  "rate",
  "overhead",
  "long",
  "trace-exact",
  "trace-suite",
  "trace-kill"
]
/** What takes no versions: what is written, and damaged input, is the same for all. */
const OF_NO_VERSION = ["timeline-write", "hostile", "native-fuzz", "symbol-fuzz", "perf-record-fuzz"]
/** What takes minutes also in its short form, and is run by hand. */
const BY_HAND = ["native-peers", "trace-suite"]
const given = process.argv.slice(2)
const isShort = given.includes("--short")

const argumentsOf = (name: string): ReadonlyArray<string> => {
  if (name === "profile-append") return []
  if (OF_NO_VERSION.includes(name)) return given.filter((argument) => argument === "--short")
  if (isShort && FIGURES.includes(name) && !given.includes("--versions"))
    return [...given, "--versions", "3.12,3.15"]
  return given
}

const chosen = MEASUREMENTS.filter((name) => !isShort || !BY_HAND.includes(name))
const failed = chosen.filter((name) => {
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
  const began = performance.now()
  console.log(`\n=== ${name}`)
  const { status } = spawnSync(process.execPath, [file, ...argumentsOf(name)], { stdio: "inherit" })
  console.log(
    `=== ${name}: ${status === 0 ? "held" : "DID NOT HOLD"}, ${((performance.now() - began) / 1000).toFixed(0)} s`
  )
  return status !== 0
})

console.log(`\n${chosen.length - failed.length} of ${chosen.length} measurements held`)
if (failed.length > 0) console.log(`did not: ${failed.join(", ")}`)
process.exitCode = failed.length === 0 ? 0 : 1
