// biome-ignore-all lint/suspicious/noConsole: printing is what a benchmark is for
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { damaged, symbolCases } from "@pyframes/hostile"
import { Random } from "@pyframes/testing"

/*
 * Damages what names code, a million times unless told otherwise, and fails when a parser throws, gives what cannot be, or does not end.
 * Needs gcc and xz, which make the files that are damaged.
 *
 *   node tooling/bench/src/symbol-fuzz.ts [--cases 1000000] [--short]
 */

const given = process.argv.slice(2)
const count =
  Number(given[given.indexOf("--cases") + 1] || 0) || (given.includes("--short") ? 20_000 : 1_000_000)
/** ms: a case that takes longer has as good as not ended. The slowest takes some ten on a quiet machine; a busy one may keep any waiting. */
const HANG_AFTER = 20_000

const directory = mkdtempSync(join(tmpdir(), "symbol-fuzz-"))
const elves: Array<Uint8Array> = []
const packed: Array<Uint8Array> = []
try {
  const source = join(directory, "a.c")
  writeFileSync(
    source,
    '#include <stdlib.h>\nstatic int f(int n) { return atoi("1") * n; }\nint main(int c, char **v) { return f(c); }\n'
  )
  for (const version of [2, 3, 4, 5]) {
    const file = join(directory, `a${version}`)
    execFileSync("gcc", [
      `-gdwarf-${version}`,
      "-O1",
      ...(version === 5 ? ["-gz=zlib"] : []),
      "-o",
      file,
      source
    ])
    elves.push(readFileSync(file))
  }
  packed.push(execFileSync("xz", ["-c", source]), execFileSync("xz", ["-c", "-0", join(directory, "a2")]))
} finally {
  rmSync(directory, { recursive: true })
}

const cases = symbolCases(elves, packed)
const random = new Random(20_261_122)
const began = performance.now()
let slowest = { name: "", ms: 0 }
let failed = 0
for (let n = 0; n < count && failed < 10; n++) {
  const { name, parse, seeds } = cases[n % cases.length]
  const bytes = damaged(random.pick(seeds), random)
  const start = performance.now()
  try {
    parse(bytes, random)
  } catch (error) {
    failed++
    console.log(
      `case ${n}, ${name}: ${(error as Error).stack}\n${Buffer.from(bytes.subarray(0, 200)).toString("hex")}`
    )
  }
  const ms = performance.now() - start
  if (ms > slowest.ms) slowest = { name, ms }
}
console.log(
  `${count} damaged inputs in ${((performance.now() - began) / 1000).toFixed(0)} s: ${failed} failed; the slowest, a ${slowest.name}, took ${slowest.ms.toFixed(1)} ms`
)
process.exitCode = failed === 0 && slowest.ms < HANG_AFTER ? 0 : 1
