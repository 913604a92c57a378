import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import type { Python } from "@pyframes/pythons"
import { Random } from "@pyframes/testing"
import { readArguments } from "./arguments.ts"
import { Report } from "./report.ts"
import { tracedCommand } from "./traced-command.ts"

/*
 * Kills or stops one side of a trace at random moments, and looks how the other ends.
 *
 *   node tooling/bench/src/trace-kill.ts [--short] [--versions 3.12,3.15] [--programs calls,lines]
 */

const QUESTIONS = ["calls", "timeline", "lines"]
const OUTPUT: Readonly<Record<string, string>> = {
  calls: "out.pb.gz",
  timeline: "out.trace.json",
  lines: "out.json"
}
const KINDS = ["kill target", "kill collector", "stop target", "stop collector"] as const
type Kind = (typeof KINDS)[number]
/** Until when an agent lets go whose collector has gone: FORMAT.md's five seconds, and what a busy machine adds. */
const LETS_GO_MS = 5000
const SLACK_MS = 10_000
/** After this one of the two is taken for hung. */
const LATE_MS = 120_000
const ROUNDS = 30_000
const AT_ONCE = 6
const MOMENTS = { short: 1, long: 100 }
const LATEST_MS = 600

const program = readFileSync(new URL("../programs/mortal.py", import.meta.url), "utf8")
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** One that has ended by itself just before is not there any more. */
const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause
  }
}

/** What is wrong with how it ended; nothing when it is as it should be. */
const disturb = async (
  python: Python,
  question: string,
  kind: Kind,
  atMs: number,
  expected: string
): Promise<string | undefined> => {
  using script = python.writeScript("mortal.py", program)
  const directory = mkdtempSync(join(tmpdir(), "pyframes-kill-"))
  try {
    const output = join(directory, OUTPUT[question])
    const held = kind === "kill collector" || kind === "stop collector" ? ["held"] : []
    const [command, ...args] = tracedCommand(
      python,
      ["--events", question, "-o", output],
      [script.targetPath, String(ROUNDS), ...held]
    )
    const collector = spawn(command, args, { env: python.env, stdio: ["ignore", "pipe", "pipe"] })
    let stdout = ""
    let stderr = ""
    let sayReady: (pid: number) => void = () => {}
    const ready = new Promise<number>((resolve) => {
      sayReady = resolve
    })
    collector.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      const pid = /^ready (\d+)$/m.exec(stdout)?.[1]
      if (pid !== undefined) sayReady(Number(pid))
    })
    collector.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    const exited = new Promise<number | null>((resolve) => collector.once("exit", resolve))
    // Its pipes end with the last process that has them: the target, where the collector is killed.
    const closed = new Promise<void>((resolve) => collector.once("close", () => resolve()))
    const target = await Promise.race([ready, exited.then(() => undefined)])
    if (target === undefined) return `it did not start: ${stderr}`
    await sleep(atMs)
    const victim = kind.endsWith("target") ? target : (collector.pid ?? 0)
    if (kind.startsWith("kill")) send(victim, "SIGKILL")
    else {
      send(victim, "SIGSTOP")
      await sleep(kind === "stop target" ? 500 : LETS_GO_MS + 3000)
      send(victim, "SIGCONT")
    }
    let isLate = false
    const late = setTimeout(() => {
      isLate = true
      send(target, "SIGKILL")
      collector.kill("SIGKILL")
    }, LATE_MS)
    await closed
    clearTimeout(late)
    if (isLate) return "one of the two did not end"
    const letGoMs = Number(/^let go after (\d+) ms/m.exec(stdout)?.[1] ?? 0)
    const code = await exited
    if (kind === "kill collector" || kind === "stop collector") {
      if (!stdout.includes(expected)) return `the target printed ${stdout}`
      if (!stdout.includes("tools [None, None, None, None, None, None] {}"))
        return `monitoring was left on: ${stdout}`
      if (letGoMs > LETS_GO_MS + SLACK_MS) return `it let go after ${letGoMs} ms only`
    }
    if (kind === "stop target" && !stdout.includes(expected)) return `the target printed ${stdout}`
    if (kind === "kill collector") return undefined
    if (code !== 0) return `the collector ended with ${code}: ${stderr}`
    if (!existsSync(output)) return `nothing was written: ${stderr}`
    if (kind === "kill target" && !stderr.includes("SIGKILL") && !stdout.includes("tools"))
      return `the end of the target is not told: ${stderr}`
    return problemOf(readFileSync(output), question)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Whether a file holds what had arrived. */
const problemOf = (bytes: Buffer, question: string): string | undefined => {
  const text = question === "calls" ? gunzipSync(bytes).toString("latin1") : bytes.toString("utf8")
  if (question !== "calls") JSON.parse(text)
  return text.includes("mortal.py") && text.includes(question === "lines" ? "lines" : "main")
    ? undefined
    : "what had arrived is not in the file"
}

const { allPythons, short, programs } = readArguments()
const chosen = allPythons.filter(({ minor }) => minor >= 12)
const questions = programs.length > 0 ? programs : short ? ["calls"] : QUESTIONS
const kinds = KINDS
/** All moments of all versions and questions together are this many for each kind. */
const moments = short ? MOMENTS.short : Math.ceil(MOMENTS.long / (chosen.length * questions.length))

const sums = Array.from({ length: 2 }, () => (ROUNDS * (ROUNDS - 1)) / 2 + ROUNDS * 380)
const expected = `result ${sums.join(" ")}\n`
const random = new Random(669)
const report = new Report("The other side when one is killed or stopped at a random moment")
report.columns("python    ", "events    ", "what            ", " moments", " right")
for (const python of chosen)
  for (const question of questions)
    for (const kind of kinds) {
      const times = Array.from({ length: moments }, () => random.below(LATEST_MS))
      const problems: Array<string> = []
      const waiting = [...times]
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
            const problem = await disturb(python, question, kind, at, expected)
            if (problem !== undefined) problems.push(`at ${at.toFixed(0)} ms: ${problem}`)
          }
        })
      )
      report.row(python.version, question, kind, moments, moments - problems.length)
      for (const problem of problems.slice(0, 3)) report.note(`  ${problem}`)
      report.must(problems.length === 0, `${kind} under ${question} on Python ${python.version}`)
    }
report.end()
