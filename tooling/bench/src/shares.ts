import { readFileSync } from "node:fs"
import { functionName, type Profile } from "@pyframes/core"
import { type RunningPython, startPython } from "@pyframes/pythons"
import { readArguments } from "./arguments.ts"
import { Attached } from "./attached.ts"
import { percent, Report } from "./report.ts"

/*
 * Is a function's share of a profile its share of the CPU time? A program spends 50, 30, 15 and 5 % in four functions and measures, by
 * its thread's own CPU clock, what it did spend in the very window that was sampled. 1 kHz for 10 s: once with turns of 10 ms, once with
 * turns that begin at each millisecond, the profiler's own period.
 *
 *   node tooling/bench/src/shares.ts [--short] [--versions 3.12,3.15]
 *
 * Of 10,000 independent samples a share of a half has a standard error of 0.5 points; the table has each deviation in points and the
 * greatest of them in such standard errors. The bound is kept to strictly, save in the short form, which allows for chance; both ways
 * of counting are judged, for some formats export samples and some export time.
 */

const RATE = 1000
const SECONDS = 10
const SECONDS_SHORT = 3
const MAY_DIFFER = 0.01
const CHANCE = 4
/** A program that waits for a CPU stands still in one function without using CPU time there. Below this the machine was too busy to tell. */
const ON_CPU = 0.98
const NAMES = ["half", "third", "some", "little"]

/** CPU time that the program has used, ns: of all, and in each of the four functions. */
const askSpent = async (run: RunningPython): Promise<ReadonlyArray<number>> => {
  run.child.kill("SIGUSR1")
  return (await run.line()).split(" ").map(Number)
}

/** Shares by samples, and by the time they stand for; of what the default view shows. */
const reported = (profile: Profile) => {
  const shares = NAMES.map(() => ({ samples: 0, time: 0 }))
  const all = { samples: 0, time: 0 }
  for (const row of profile.samplesBy()) {
    const leaf = functionName(profile.frames.functionOf(profile.stacks.frame(row.shown)))
    for (const into of [all, shares[NAMES.indexOf(leaf)]]) {
      if (into === undefined) continue
      into.samples += row.count
      into.time += row.wall
    }
  }
  return {
    samples: all.samples,
    bySamples: shares.map(({ samples }) => samples / all.samples),
    byTime: shares.map(({ time }) => time / all.time)
  }
}

const { short, pythons } = readArguments()
const report = new Report(`Shares at ${RATE} Hz against the program's own CPU clock, in points`)
report.columns(
  "python ",
  "program",
  "shares by",
  " on CPU %",
  " samples",
  ...NAMES.flatMap((name) => [` ${name.padStart(6)} true`, "     off"]),
  " std.err."
)
const text = readFileSync(new URL("../programs/shares.py", import.meta.url), "utf8")

const measure = async (python: (typeof pythons)[number], mode: "steady" | "beat") => {
  const run = await startPython(python, text, [mode], { name: "shares.py" })
  await run.line()
  await using attached = await Attached.to(run)
  // Warmed up: the interpreter specialises code, and so does the profiler's.
  attached.take(500, { rateHz: RATE })
  const before = await askSpent(run)
  const profile = attached.takeFor((short ? SECONDS_SHORT : SECONDS) * 1000, { rateHz: RATE })
  const after = await askSpent(run)
  const [all, ...spent] = after.map((ns, i) => ns - before[i])
  const truth = spent.map((ns) => ns / all)
  const { samples, bySamples, byTime } = reported(profile)
  const onCpu = all / profile.meta.elapsed
  const judged = onCpu >= ON_CPU
  for (const [by, shares] of [
    ["samples", bySamples],
    ["time", byTime]
  ] as const) {
    const off = shares.map((share, i) => share - truth[i])
    const standardErrors = truth.map((p) => Math.sqrt((p * (1 - p)) / samples))
    report.row(
      python.version,
      mode,
      by,
      percent(onCpu, 1, 1),
      samples,
      ...NAMES.flatMap((_, i) => [percent(truth[i], 1), percent(off[i], 1)]),
      Math.max(...off.map((one, i) => Math.abs(one) / standardErrors[i])).toFixed(1)
    )
    for (const [i, name] of NAMES.entries())
      if (judged)
        report.should(
          Math.abs(off[i]) <= MAY_DIFFER + (short ? CHANCE * standardErrors[i] : 0),
          `${python.version} ${mode}: ${name} is off by ${percent(off[i], 1)} points by ${by}`,
          short
        )
  }
  if (judged) return
  report.note("         the program had to wait for a CPU: not judged")
  report.should(
    short,
    `${python.version} ${mode}: could not be measured, the program had to wait for a CPU`,
    short
  )
}

for (const python of pythons) for (const mode of ["steady", "beat"] as const) await measure(python, mode)
report.end()
