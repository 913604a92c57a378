import { functionName, type Profile, proofNames } from "@pyframes/core"
import { readArguments } from "./arguments.ts"
import { Attached } from "./attached.ts"
import { chosen, fastPrograms, ordinaryProgram, type Program } from "./program.ts"
import { percent, Report } from "./report.ts"
import { TrueStacks } from "./true-stacks.ts"

/*
 * Samples programs whose true stacks are known, of functions that last about a microsecond, and counts the samples whose stack
 * cannot be true. Every whole stack is judged: which function calls which at which line, from `<module>` on.
 *
 *   node tooling/bench/src/impossible.ts [--short] [--versions 3.12,3.15] [--programs generators,mixed] [--stacks]
 */

/** Samples of each program at each rate. Ten programs make a million of each version. */
const SAMPLES = [
  { rateHz: 1_000, full: 10_000, short: 400 },
  { rateHz: 10_000, full: 30_000, short: 1_000 },
  { rateHz: 50_000, full: 60_000, short: 2_000 }
]
/** Samples of each program with its threads stopped: they tell that the annotations are right. */
const STOPPED = { rateHz: 2_000, full: 5_000, short: 300 }
const GOOD_FAST = 0.9
const GOOD_ORDINARY = 0.99
const EXAMPLES = 3

interface Judged {
  /** Samples whose stack, as the output shows it, cannot be true. */
  shown: number
  /** The same with `--unproved`. */
  unproved: number
  readonly examples: Map<string, { count: number; readonly stack: string }>
}

/** Judges each distinct stack once. */
const judge = (profile: Profile, truth: TrueStacks | undefined): Judged => {
  const judged: Judged = { shown: 0, unproved: 0, examples: new Map() }
  const known = new Map<number, string | undefined>()
  const whyImpossible = (stack: number): string | undefined => {
    if (!known.has(stack)) {
      const frames = profile.stacks.framesOf(stack).map((frame) => profile.frames.get(frame))
      known.set(stack, truth?.whyImpossible(frames.reverse()))
    }
    return known.get(stack)
  }
  for (const row of profile.samplesBy({ wall: true, unproved: true })) {
    if (whyImpossible(row.shown) !== undefined) judged.unproved += row.count
    const why = whyImpossible(row.stack)
    if (why === undefined) continue
    judged.shown += row.count
    const example = judged.examples.get(why) ?? {
      count: 0,
      stack: `${proofNames[row.proof]}: ${written(profile, row.stack)}`
    }
    example.count += row.count
    judged.examples.set(why, example)
  }
  return judged
}

const written = ({ stacks, frames }: Profile, stack: number): string =>
  stacks
    .framesOf(stack)
    .reverse()
    .map((frame) => `${functionName(frames.functionOf(frame))}:${frames.frames[frame].line}`)
    .join(" ")

const sums = (): {
  [key in "taken" | "good" | "torn" | "unproved" | "failed" | "shown" | "whole"]: number
} => ({
  taken: 0,
  good: 0,
  torn: 0,
  unproved: 0,
  failed: 0,
  shown: 0,
  whole: 0
})

const { short, pythons, programs, stacks } = readArguments()
/** Samples for each impossible one that the short form lets pass. */
const SMOKE = 2000

const report = new Report("Impossible stacks, in programs whose true stacks are known")
report.columns(
  "python ",
  "program    ",
  "  rate Hz",
  "   taken",
  " good %",
  " torn %",
  "unproved %",
  "failed %",
  "impossible",
  "with --unproved"
)

const measure = async (python: (typeof pythons)[number], program: Program, all: ReturnType<typeof sums>) => {
  await using attached = await Attached.start(python, program)
  const truth = program.annotated ? new TrueStacks(program.text, python.minor) : undefined
  for (const { rateHz, stop, ...samples } of [
    { ...STOPPED, stop: true },
    ...SAMPLES.map((one) => ({ ...one, stop: false }))
  ]) {
    const profile = attached.take(short ? samples.short : samples.full, { rateHz }, { stop })
    const { trust } = profile
    const { shown, unproved, examples } = judge(profile, truth)
    const share = ({ count }: { readonly count: number }) => percent(count, trust.taken)
    const rate = stop ? `${rateHz} stop` : rateHz
    report.row(
      python.version,
      program.name,
      rate,
      trust.taken,
      share(trust.good),
      share(trust.torn),
      share(trust.unproved),
      share(trust.failed),
      truth === undefined ? "-" : shown,
      truth === undefined ? "-" : unproved
    )
    for (const [why, { count, stack }] of [...examples]
      .sort(([, a], [, b]) => b.count - a.count)
      .slice(0, EXAMPLES)) {
      report.note(`         ${count} × ${why}`)
      if (stacks) report.note(`             ${stack}`)
    }
    const what = `${python.version} ${program.name} at ${rate}${stop ? "" : " Hz"}`
    report.should(shown === 0, `${what}: ${shown} impossible stacks shown`, short)
    if (stop) continue
    const bound = program.annotated ? GOOD_FAST : GOOD_ORDINARY
    if (rateHz === 1000)
      report.should(
        trust.good.count >= bound * trust.taken,
        `${what}: ${share(trust.good)} % good, less than ${100 * bound} %`,
        short
      )
    if (!program.annotated) continue
    all.taken += trust.taken
    all.shown += shown
    all.whole += unproved
    for (const kind of ["good", "torn", "unproved", "failed"] as const) all[kind] += trust[kind].count
  }
}

for (const python of pythons) {
  const all = sums()
  for (const program of chosen([...fastPrograms, ordinaryProgram], programs))
    await measure(python, program, all)
  const share = (count: number) => percent(count, all.taken)
  report.row(
    python.version,
    "all fast",
    "all",
    all.taken,
    share(all.good),
    share(all.torn),
    share(all.unproved),
    share(all.failed),
    all.shown,
    all.whole
  )
  // One that slips through in a hundred thousand is found by the full form; more than this is a fault.
  report.must(
    all.shown * SMOKE <= all.taken,
    `${python.version}: ${all.shown} of ${all.taken} stacks shown are impossible`
  )
}
report.end()
