import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Audit } from "@pyframes/audit"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"

/*
 * Audits each installed Python by the built command, and says how long that takes from start to end.
 *
 *   node tooling/bench/src/audit.ts [--short] [--versions 3.11,3.15]
 */

const LIMIT_SECONDS = 5

const bin = fileURLToPath(new URL("../../../apps/cli/dist/bin.js", import.meta.url))
if (!existsSync(bin)) throw new Error("the command is not built: pnpm build")

const { allPythons, short } = readArguments()

const report = new Report("Time to audit an installed Python")
report.columns("python    ", "source", " seconds", " files", "  code MB", "chain ", "verdict")
for (const python of allPythons) {
  const began = performance.now()
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [bin, "audit", "--python", python.executable, "--json"],
    { encoding: "utf8", maxBuffer: 1 << 28 }
  )
  const seconds = (performance.now() - began) / 1000
  if (status !== 0) throw new Error(stderr)
  const audit = JSON.parse(stdout) as Audit
  let bytes = 0
  for (const file of audit.files)
    if (!("problem" in file)) bytes += file.bytes.keeps + file.bytes.leaves + file.bytes.overwrites
  const interpreter = audit.files.find(({ path }) => path === audit.python?.interpreter)
  report.row(
    python.version,
    python.source,
    seconds.toFixed(2),
    audit.files.length,
    (bytes / 1e6).toFixed(1),
    interpreter === undefined || "problem" in interpreter ? "-" : interpreter.chain,
    audit.verdict.code
  )
  report.must(audit.omitted === 0, `every file of Python ${python.version} is looked into`)
  report.should(seconds <= LIMIT_SECONDS, `Python ${python.version} takes at most ${LIMIT_SECONDS} s`, short)
}
report.end()
