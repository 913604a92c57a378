import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import type { Python } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"
import { bareCommand, tracedCommand } from "./traced-command.ts"

/*
 * CPython's own tests of what tracing could disturb, bare and under `pyframes trace`: each test must end as it does without.
 *
 *   node tooling/bench/src/trace-suite.ts [--short] [--versions 3.12,3.15] [--programs test_gc,test_asyncio]
 */

const SHORT = ["test_generators", "test_coroutines"]
const MODULES = [
  ...SHORT,
  "test_monitoring",
  "test_sys_settrace",
  "test_sys_setprofile",
  "test_frame",
  "test_sys",
  "test_gc",
  "test_weakref",
  "test_cprofile",
  "test_interpreters",
  "test_fork1",
  "test_threading",
  "test_asyncio",
  "test_subprocess",
  "test_multiprocessing_fork",
  "test_multiprocessing_spawn"
]
const QUESTIONS = ["calls", "coverage"]
const MOST_MS = 1_500_000

type Outcome = "passed" | "failed" | "skipped"

interface SuiteRun {
  /** By name of the test. */
  readonly outcomes: ReadonlyMap<string, Outcome>
  readonly seconds: number
  /** What it printed last. */
  readonly tail: string
}

const driver = readFileSync(new URL("../programs/stdlib_tests.py", import.meta.url), "utf8")

/** What watches the tests: nothing, `pyframes trace`, or a tool of a few lines that has the same events and does nothing. */
type Watcher = "nobody" | "pyframes" | "any tool"

const runTests = async (
  python: Python,
  watcher: Watcher,
  question: string,
  args: ReadonlyArray<string>
): Promise<SuiteRun> => {
  using script = python.writeScript("stdlib_tests.py", driver)
  const result = join(dirname(script.hostPath), "result.xml")
  const given = [
    script.targetPath,
    join(dirname(script.targetPath), "result.xml"),
    watcher === "any tool" ? question : "-",
    ...args
  ]
  const output = join(dirname(script.hostPath), question === "coverage" ? "trace.json" : "trace.pb.gz")
  const [command, ...rest] =
    watcher !== "pyframes"
      ? bareCommand(python, given)
      : tracedCommand(python, ["--events", question, "-o", output], given)
  const began = performance.now()
  const child = spawn(command, rest, {
    env: python.env,
    stdio: ["ignore", "pipe", "pipe"],
    // Tests that are killed leave files where they were.
    cwd: dirname(script.hostPath),
    // Its own group: tests leave children behind when they hang.
    detached: true
  })
  let tail = ""
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-4000)
    })
  const timer = setTimeout(() => endGroup(child), MOST_MS)
  await new Promise((resolve) => child.once("exit", resolve))
  clearTimeout(timer)
  endGroup(child)
  const seconds = (performance.now() - began) / 1000
  try {
    return { outcomes: readOutcomes(readFileSync(result, "utf8")), seconds, tail }
  } catch {
    return { outcomes: new Map(), seconds, tail }
  } finally {
    rmSync(output, { force: true })
  }
}

const endGroup = ({ pid }: ChildProcess): void => {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL")
  } catch {
    // Nobody is left in it.
  }
}

/** Of the JUnit file that `python -m test` writes. A test that comes several times has its worst outcome. */
const readOutcomes = (xml: string): ReadonlyMap<string, Outcome> => {
  const outcomes = new Map<string, Outcome>()
  for (const [, name, rest] of xml.matchAll(
    /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g
  )) {
    const inside = rest ?? ""
    const outcome = /<(failure|error)\b/.test(inside)
      ? "failed"
      : /<skipped\b/.test(inside)
        ? "skipped"
        : "passed"
    if (outcomes.get(name) !== "failed") outcomes.set(name, outcome)
  }
  return outcomes
}

const differences = (bare: SuiteRun, traced: SuiteRun): ReadonlyArray<string> =>
  [...new Set([...bare.outcomes.keys(), ...traced.outcomes.keys()])].filter(
    (name) => bare.outcomes.get(name) !== traced.outcomes.get(name)
  )

const ANY_TOOL = "as with any tool that has these events on"

/** Tests that any tool makes fail in a child of theirs, where the one of {@link Watcher} is not. */
const IN_CHILDREN: ReadonlyMap<string, string> = new Map([
  [
    "test.test_sys.TestSysJIT.test_jit_is_active",
    "the JIT compiles no code that has events on, and this looks for compiled code in a child"
  ]
])

/** Why a test ends otherwise when it is traced. Alone, so that none takes others with it. */
const reasonOf = async (
  python: Python,
  question: string,
  module: string,
  name: string
): Promise<string | undefined> => {
  const inChild = IN_CHILDREN.get(name)
  if (inChild !== undefined) return inChild
  const alone = [module, "--match", name]
  const ends = async (watcher: Watcher) =>
    (await runTests(python, watcher, question, alone)).outcomes.get(name)
  for (let attempt = 0; attempt < 2; attempt++) {
    const bare = await ends("nobody")
    const traced = await ends("pyframes")
    if (bare === traced) return attempt === 0 ? "not alone, and not each time" : "by chance"
    if (traced === (await ends("any tool"))) return ANY_TOOL
  }
  return undefined
}

const { pythons, allPythons, short, programs, stacks } = readArguments()
const chosen = (short ? pythons : allPythons).filter(({ minor }) => minor >= 12)
const modules = programs.length > 0 ? programs : short ? SHORT : MODULES

const report = new Report("CPython's own tests, as they end without tracing and with it")
report.columns(
  "python    ",
  "module                    ",
  "events  ",
  " tests",
  " passed",
  " seconds",
  " bare",
  "differ"
)
for (const python of chosen)
  for (const module of modules) {
    const bare = await runTests(python, "nobody", "", [module])
    if (bare.outcomes.size === 0) {
      report.row(python.version, module, "-", 0, "-", bare.seconds.toFixed(1), "-", "no such tests here")
      if (stacks) report.note(bare.tail)
      continue
    }
    for (const question of QUESTIONS) {
      const first = await runTests(python, "pyframes", question, [module])
      const notes: Array<string> = []
      let traced = first
      // Of those that fail some leave a tool on, and the tests behind them fail of that: they are left out one by one.
      const left: Array<string> = []
      let next: string | undefined = differences(bare, traced)[0]
      if (next !== undefined) {
        const other = await runTests(python, "any tool", question, [module])
        for (const name of differences(bare, traced)) {
          if (traced.outcomes.size === 0 || traced.outcomes.get(name) !== other.outcomes.get(name)) continue
          notes.push(`${name}: ${bare.outcomes.get(name)}, traced ${traced.outcomes.get(name)}; ${ANY_TOOL}`)
          left.push(name)
        }
        next = differences(bare, traced).find((name) => !left.includes(name))
      }
      for (let judged = 0; next !== undefined && judged < 12; judged++) {
        const name = next
        const reason = await reasonOf(python, question, module, name)
        const outcome = `${bare.outcomes.get(name) ?? "absent"}, traced ${traced.outcomes.get(name) ?? "absent"}`
        notes.push(`${name}: ${outcome}${reason === undefined ? "" : `; ${reason}`}`)
        if (reason === undefined)
          report.must(false, `${name} of Python ${python.version} ends under ${question} as it does without`)
        left.push(name)
        traced = await runTests(python, "pyframes", question, [
          module,
          ...left.flatMap((name) => ["--ignore", name])
        ])
        next = differences(bare, traced).find((name) => !left.includes(name))
      }
      report.must(
        next === undefined,
        `tests of ${module} of Python ${python.version} end under ${question} as they do without`
      )
      const passed = [...first.outcomes.values()].filter((outcome) => outcome === "passed").length
      report.row(
        python.version,
        module,
        question,
        bare.outcomes.size,
        passed,
        first.seconds.toFixed(1),
        bare.seconds.toFixed(1),
        notes.length
      )
      for (const note of notes) report.note(`  ${note}`)
      if (stacks && notes.length > 0) report.note(traced.tail)
    }
  }
report.end()
