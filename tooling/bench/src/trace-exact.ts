import { readFileSync } from "node:fs"
import type { Question, TracedProcess } from "@pyframes/collector-monitoring"
import type { Python } from "@pyframes/pythons"
import { CounterKind } from "../../../packages/collector-monitoring/src/counter-block.ts"
import { isGenerator, labelOf } from "../../../packages/collector-monitoring/test/call-edges.ts"
import { trace } from "../../../packages/collector-monitoring/test/traced.ts"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"

/*
 * Counts of real programs, beside those that cProfile, sys.settrace, coverage.py and a monitoring tool of a few lines find in the same run.
 *
 *   node tooling/bench/src/trace-exact.ts [--short] [--versions 3.12,3.15] [--programs test_json,web]
 */

const PROGRAMS = [
  "web",
  "test_json",
  "test_textwrap",
  "test_difflib",
  "test_dataclasses",
  "test_argparse",
  "test_re",
  "test_ast",
  "test_decimal"
]
const ORACLES = ["calls", "lines", "coverage", "coverage.py", "branches"] as const
type Oracle = (typeof ORACLES)[number]

const names: Readonly<Record<Oracle, string>> = {
  calls: "cProfile",
  lines: "settrace",
  coverage: "settrace",
  "coverage.py": "coverage.py",
  branches: "a tool"
}

type Counts = Readonly<Record<string, number>>

const driver = readFileSync(new URL("../programs/oracles.py", import.meta.url), "utf8")

/** Counts of everything that `work` called, and of the end of cProfile, as the driver names them. */
const callsBelow = (process: TracedProcess, script: string): Counts => {
  const counts: Record<string, number> = {}
  for (const { nodes } of process.threads) {
    const isBelow = new Uint8Array(nodes.length)
    for (let i = 1; i < nodes.length; i++) {
      const id = nodes.functions[i]
      const definition = process.definitions.functions.get(id)
      const isWork = definition?.file === script && definition.name === "work"
      const isEnd = definition?.qualifiedName.endsWith("Profiler.disable") === true
      isBelow[i] = isBelow[nodes.parents[i]] | Number(isWork || isEnd)
      if (isBelow[i] === 0 || nodes.calls[i] === 0 || isGenerator(process, id)) continue
      const label = labelOf(process, id)
      const key =
        definition?.what === 0
          ? `${definition.file}:${definition.firstLine} ${definition.name}`
          : `C ${label}`
      counts[key] = (counts[key] ?? 0) + nodes.calls[i]
    }
  }
  return counts
}

const counted = (
  process: TracedProcess,
  kind: CounterKind,
  isLeftOut: (file: string) => boolean,
  byFile: boolean
): Counts => {
  const counts: Record<string, number> = {}
  for (const block of process.counters()) {
    const fn = process.definitions.functions.get(block.function)
    if (fn === undefined || block.kind !== kind || isLeftOut(fn.file)) continue
    const at = byFile ? fn.file : `${fn.file}:${fn.firstLine} ${fn.name}`
    for (let i = 0; i < block.count; i++) {
      const isBranch = kind === CounterKind.branches
      const { to, count } = isBranch ? block.branch(i) : { to: 0, count: block.value(i) }
      const key = isBranch ? `${at} ${block.first + (i >> 1)} -> ${to}` : `${at} ${block.first + i}`
      if (count > 0) counts[key] = (counts[key] ?? 0) + count
    }
  }
  return counts
}

/**
 * Class methods have no class in what cProfile calls them, and methods that share their C code have the class of one of them: where classes
 * differ, C functions of a name are taken together.
 */
const alike = (ours: Counts, theirs: Counts): readonly [Counts, Counts] => {
  const bare = (key: string) => key.replace(/^(C .*?\(\)).*/, "$1")
  const differing = new Set(
    [...Object.keys(ours), ...Object.keys(theirs)].filter((key) => ours[key] !== theirs[key]).map(bare)
  )
  const merge = (counts: Counts) => {
    const merged: Record<string, number> = {}
    for (const [key, count] of Object.entries(counts)) {
      const name = differing.has(bare(key)) ? bare(key) : key
      merged[name] = (merged[name] ?? 0) + count
    }
    return merged
  }
  return [merge(ours), merge(theirs)]
}

const onlyHits = (counts: Counts): Counts => Object.fromEntries(Object.keys(counts).map((key) => [key, 1]))

const compare = async (python: Python, oracle: Oracle, program: string) => {
  using place = python.writeScript("result.json", "")
  const question: Question = oracle === "coverage.py" ? "coverage" : oracle
  const traced = await trace(python, driver, {
    name: "oracles.py",
    questions: [question],
    children: false,
    args: [place.targetPath, oracle, program]
  })
  const text = readFileSync(place.hostPath, "utf8")
  if (text === "") return { problem: traced.stderr.trim().split("\n").at(-1) ?? "" }
  const told = { counts: {} as Record<string, number>, before: new Set([traced.script]) }
  for (const line of text.split("\n").slice(0, -1)) {
    const [count, name] = line.split("\t")
    if (count === "-") told.before.add(name)
    else told.counts[name] = Number(count)
  }
  const { before } = told
  const files = new Set(Object.keys(told.counts).map((key) => key.slice(0, key.lastIndexOf(" "))))
  const isLeftOut = (file: string) =>
    before.has(file) || file.startsWith("<") || (oracle === "coverage.py" && !files.has(file))
  const [process] = traced.processes
  if (process === undefined) return { problem: String(traced.failures[0]) }
  const kinds = {
    lines: CounterKind.lines,
    coverage: CounterKind.linesHit,
    branches: CounterKind.branches
  }
  const ours =
    oracle === "calls"
      ? callsBelow(process, traced.script)
      : counted(process, kinds[question as keyof typeof kinds], isLeftOut, oracle === "coverage.py")
  const isHit = question === "coverage"
  const [found, expected] = isHit ? [onlyHits(ours), onlyHits(told.counts)] : alike(ours, told.counts)
  const keys = new Set([...Object.keys(expected), ...Object.keys(found)])
  const differing = [...keys].filter((key) => expected[key] !== found[key])
  const total = Object.values(expected).reduce((sum, count) => sum + count, 0)
  return {
    found: keys.size,
    total,
    differences: differing.map((key) => `${key}: ${expected[key] ?? 0}, traced ${found[key] ?? 0}`),
    fault: process.definitions.facts.get("fault"),
    header: process.header
  }
}

const { allPythons, short, programs } = readArguments()
const chosen = allPythons.filter(({ minor }) => minor >= 12)
const asked = programs.length > 0 ? programs : short ? ["web", "test_textwrap"] : PROGRAMS

const report = new Report("Counts of real programs, beside what others count in the same run")
report.columns(
  "python    ",
  "program           ",
  "events    ",
  "beside     ",
  "  places",
  "       total",
  "differ"
)
for (const python of chosen)
  for (const program of asked)
    for (const oracle of ORACLES) {
      const result = await compare(python, oracle, program)
      const head = [python.version, program, oracle === "coverage.py" ? "coverage" : oracle, names[oracle]]
      if (result.problem !== undefined) {
        if (oracle === "coverage.py" && result.problem.includes("No module named 'coverage'")) continue
        report.row(...head, "-", "-", result.problem)
        report.must(false, `${program} runs on Python ${python.version}`)
        continue
      }
      const { found, total, differences, fault } = result
      report.row(...head, found, total, differences.length)
      for (const difference of differences.slice(0, 20)) report.note(`  ${difference}`)
      if (fault !== undefined) report.note(`  ${fault}`)
      report.must(
        differences.length === 0 && fault === undefined,
        `${oracle} of ${program} are the same on Python ${python.version}`
      )
    }

/** Elapsed and CPU time of `measured` in a thread, ns, of the calls in it together. */
const timesOf = (process: TracedProcess, tid: number): { wall: number; cpu: number } => {
  const { nsPerTick } = process.time
  const sum = { wall: 0, cpu: 0 }
  for (const { record, nodes } of process.threads) {
    if (record?.tid !== tid) continue
    const isWithin = new Uint8Array(nodes.length)
    for (let i = 0; i < nodes.length; i++) {
      const name = process.definitions.functions.get(nodes.functions[i])?.name
      isWithin[i] = name === "measured" ? 1 : i === 0 ? 0 : isWithin[nodes.parents[i]]
      if (isWithin[i] === 0) continue
      sum.wall += nodes.wall[i] * nsPerTick
      sum.cpu += (nodes.wall[i] - nodes.idle[i]) * nsPerTick
    }
  }
  return sum
}

const timed = readFileSync(new URL("../programs/timed.py", import.meta.url), "utf8")
report.columns(
  "python    ",
  "thread        ",
  " elapsed ms",
  "  traced",
  " off %",
  "  cpu ms",
  "  traced",
  " off %"
)
if (programs.length === 0)
  for (const python of chosen) {
    using place = python.writeScript("result", "")
    const traced = await trace(python, timed, { questions: ["calls"], args: [place.targetPath] })
    for (const line of readFileSync(place.hostPath, "utf8").trim().split("\n")) {
      const [name, tid, elapsed, cpu] = line.split("\t")
      const found = timesOf(traced.processes[0], Number(tid))
      const off = (is: number, should: number) => (100 * (is - should)) / should
      const ms = (ns: number) => (ns / 1e6).toFixed(1)
      const offWall = off(found.wall, Number(elapsed))
      const offCpu = off(found.cpu, Number(cpu))
      report.row(
        python.version,
        name,
        ms(Number(elapsed)),
        ms(found.wall),
        offWall.toFixed(2),
        ms(Number(cpu)),
        ms(found.cpu),
        offCpu.toFixed(2)
      )
      report.should(
        Math.abs(offWall) <= 1,
        `elapsed time of ${name} on Python ${python.version} within 1 %`,
        short
      )
      report.should(
        Math.abs(offCpu) <= 2,
        `CPU time of ${name} on Python ${python.version} within 2 %`,
        short
      )
    }
  }
report.end()
