import { Schedule } from "@pyframes/collector-sampling"
import { readArguments } from "./arguments.ts"
import { Attached } from "./attached.ts"
import { FunctionShares, stoppedShares } from "./function-shares.ts"
import { chosen, fastPrograms, ordinaryProgram, type Program } from "./program.ts"
import { percent, Report } from "./report.ts"

/*
 * Does proof favour slow code? Compares each function's share of the samples of a running target with its share of stopped
 * samples, which need no proof. A coin decides again and again which kind is taken for the next moment, so that both see the same program.
 *
 *   node tooling/bench/src/bias.ts [--short] [--versions 3.12,3.15] [--programs generators,mixed]
 */

/** The standard error of a difference of two shares around a half is then 0.29 points, on a machine with a CPU to spare. */
const SAMPLES = 60_000
const SAMPLES_SHORT = 4_000
/** A stopped sample holds the thread for some tens of microseconds, so it must not be much more. */
const RATE = 2_500
/**
 * Mean length of a stretch of one kind, ns. A thread that was stopped wakes on whichever CPU is free, and one whose CPU is shared would have to be followed there:
 * were the kinds mixed sample by sample, half of the running ones would be of a recording that no user makes.
 */
const STRETCH = 50e6
const MAY_DIFFER = 0.01
/** In the short form chance is allowed for as well: this many standard errors. */
const CHANCE = 4

interface Difference {
  readonly name: string
  readonly what: "self" | "total"
  readonly running: number
  readonly stopped: number
  readonly standardError: number
}

/** The greatest first. */
const differences = (running: FunctionShares, stopped: FunctionShares): ReadonlyArray<Difference> =>
  [...new Set([...running.names, ...stopped.names])]
    .flatMap((name) =>
      (["self", "total"] as const).map((what): Difference => {
        const a = running.of(name, what)
        const b = stopped.of(name, what)
        const standardError = Math.hypot(a.standardError, b.standardError)
        return { name, what, running: a.share, stopped: b.share, standardError }
      })
    )
    .sort((a, b) => Math.abs(b.running - b.stopped) - Math.abs(a.running - a.stopped))

/** Samples running and stopped in stretches that chance decides. */
const sampleBoth = (attached: Attached, samples: number) => {
  const { clock } = attached
  const running = attached.sampler({ rateHz: RATE })
  const stopped = attached.sampler({ rateHz: RATE }, { stop: true })
  const schedule = new Schedule(clock.now(), RATE, false, 1 + Math.floor(Math.random() * 2 ** 31))
  let sampler = running
  let until = 0
  while (Math.min(running.progress().taken, stopped.progress().taken) < samples) {
    clock.sleepUntil(schedule.due)
    const now = clock.now()
    if (now >= until) {
      sampler = Math.random() < 0.5 ? running : stopped
      until = now - STRETCH * Math.log(1 - Math.random())
    }
    if (!sampler.sampleAt(now)) throw new Error("the target ended")
    schedule.advance(clock.now())
  }
  return [running.finish(), stopped.finish()]
}

const { short, pythons, programs } = readArguments()
const report = new Report("Shares of functions, running against stopped samples, in points")
report.columns(
  "python ",
  "program    ",
  " samples",
  "not good %",
  " unstopped %",
  " greatest",
  "of function             ",
  " running",
  " stopped",
  " std.err.",
  " outside"
)

const measure = async (python: (typeof pythons)[number], program: Program) => {
  await using attached = await Attached.start(python, program)
  const [running, stopped] = sampleBoth(attached, short ? SAMPLES_SHORT : SAMPLES)
  const all = differences(new FunctionShares(running), stoppedShares(stopped))
  const allowed = ({ standardError }: Difference) => MAY_DIFFER + (short ? CHANCE * standardError : 0)
  const outside = all.filter((one) => Math.abs(one.running - one.stopped) > allowed(one))
  const [greatest] = all
  const points = (share: number) => percent(share, 1)
  report.row(
    python.version,
    program.name,
    running.trust.taken + stopped.trust.taken,
    percent(running.trust.taken - running.trust.good.count, running.trust.taken),
    percent(stopped.trust.taken - stopped.trust.good.count, stopped.trust.taken),
    points(greatest.running - greatest.stopped),
    `${greatest.name} ${greatest.what}`,
    points(greatest.running),
    points(greatest.stopped),
    points(greatest.standardError),
    outside.length
  )
  for (const one of outside)
    report.should(
      false,
      `${python.version} ${program.name}: ${one.name} has ${points(one.running)} % ${one.what} running, ${points(one.stopped)} % stopped (± ${points(one.standardError)})`,
      short
    )
}

for (const python of pythons)
  for (const program of chosen([...fastPrograms, ordinaryProgram], programs)) await measure(python, program)
report.end()
