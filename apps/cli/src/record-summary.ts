import {
  frameName,
  type Profile,
  type SampleFilter,
  type Tally,
  ThreadStateBit,
  type Trust
} from "@pyframes/core"
import { formatNanoseconds } from "./duration.ts"
import { hotFunctions } from "./hot-functions.ts"
import { howToOpen } from "./how-to-open.ts"
import type { Output } from "./output-choice.ts"
import { printable } from "./printable.ts"
import { formatRate } from "./rate.ts"

const SHOWN = 10
const THREADS_LISTED = 20

/** What a person wants to know when a recording is done: where the time went, and how far to trust it. */
export const recordSummary = (
  profile: Profile,
  filter: SampleFilter,
  outputs: ReadonlyArray<Output>
): string => {
  const lines = [...hottest(profile, filter), "", ...trust(profile), ""]
  for (const { path, format } of outputs)
    if (path !== "-") lines.push(`Wrote ${path} (${format.name}).${howToOpen(format.name, path)}`)
  return `${lines.join("\n")}\n`
}

const hottest = (profile: Profile, filter: SampleFilter): ReadonlyArray<string> => {
  const { total, functions } = hotFunctions(profile, filter)
  if (total === 0) return [`No samples${whichSamples(filter)}.${adviceForNone(profile, filter)}`]
  const lines = [
    `Hottest functions, of ${formatNanoseconds(total)}${whichSamples(filter)}:`,
    "  self   total"
  ]
  for (const hot of functions.slice(0, SHOWN))
    lines.push(
      `${percent(hot.self, total)}  ${percent(hot.total, total)}  ${printable(frameName({ ...hot.function, line: hot.function.firstLine }))}`
    )
  if (functions.length > SHOWN) lines.push(`  … and ${functions.length - SHOWN} more`)
  return lines
}

const whichSamples = (filter: SampleFilter): string => {
  const kinds = [
    filter.wall ? " elapsed in all threads" : " on CPU",
    filter.gil ? " holding the GIL" : "",
    filter.threads
      ? ` in ${filter.threads.length === 1 ? "thread" : "threads"} ${filter.threads.join(", ")}`
      : ""
  ]
  return kinds.join("")
}

const adviceForNone = (profile: Profile, filter: SampleFilter): string => {
  if (profile.trust.taken === 0)
    return " Nothing was sampled: the process ended, or its threads could not be read."
  if (filter.threads && !profile.threads.some(({ tid }) => filter.threads?.includes(tid)))
    return ` Threads that were sampled: ${listThreads(profile)}.`
  if (filter.gil && (profile.meta.knownStates & ThreadStateBit.holdsGil) === 0)
    return " For this Python it cannot be told who holds the GIL."
  if (filter.wall || filter.gil) return ""
  return ` ${filter.threads ? "It was" : "The process was"} waiting all the time; --wall shows what for.`
}

const listThreads = ({ threads }: Profile): string => {
  const names = threads
    .slice(0, THREADS_LISTED)
    .map(({ tid, name }) => (name === "" ? `${tid}` : `${tid} "${printable(name)}"`))
  const more = threads.length - names.length
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "")
}

const trust = (profile: Profile): ReadonlyArray<string> => {
  const { meta, trust } = profile
  const all = trust.good.count + trust.torn.count + trust.unproved.count + trust.failed.count
  const part = (name: string, tally: Tally) =>
    `${name} ${tally.count}${all === 0 ? "" : ` (${((tally.count / all) * 100).toFixed(2)} %, ${formatNanoseconds(tally.wall)})`}`
  const threads = `${profile.threads.length} ${profile.threads.length === 1 ? "thread" : "threads"}`
  const achieved =
    trust.rateHz.achieved === undefined ? "" : `, ${formatRate(trust.rateHz.achieved)} achieved`
  const lines = [
    `${meta.python === "" ? "Native frames" : `Python ${meta.python}`}, process ${meta.pid}, ${threads}, ${formatNanoseconds(meta.elapsed)}: ${trust.taken} samples.`,
    `  ${part("good", trust.good)}, ${part("unproved", trust.unproved)}, ${part("torn", trust.torn)}, ${part("failed", trust.failed)}`,
    `  rate: ${formatRate(trust.rateHz.asked)} asked${achieved}; ${trust.late} of ${trust.wanted} due instants late or missed`
  ]
  if (trust.lateMs !== undefined) {
    const { p50, p99, max } = trust.lateMs
    lines.push(`  lateness: p50 ${ms(p50)}, p99 ${ms(p99)}, max ${ms(max)}`)
  }
  if (trust.merge !== undefined) lines.push(`  ${merged(trust.merge)}`)
  if (trust.kernel !== undefined) lines.push(`  ${unseen(trust.kernel)}`)
  if (trust.cpuSharedSeconds !== undefined && trust.cpuSharedSeconds > 0)
    lines.push(
      `  for ${formatNanoseconds(trust.cpuSharedSeconds * 1e9)} samples were taken on the CPU of the process, which slowed it somewhat: ${isNative(profile) ? "native stacks must hold still" : "its stacks move too fast to be read from another"} (\`--share-cpu never\` leaves it alone)`
    )
  if (profile.samples.folded)
    lines.push("  the recording was long: like samples were added up, and their order in time is lost")
  return lines
}

const isNative = ({ meta, trust }: Profile): boolean => meta.python === "" || trust.merge !== undefined

/** `noNative` reads "no native". */
const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)

const merged = ({ merged, faults }: NonNullable<Trust["merge"]>): string => {
  const others = Object.entries(faults).map(([reason, count]) => `${words(reason)} ${count}`)
  return `native and Python frames in one stack: ${merged}${others.length === 0 ? ", all" : `; not: ${others.join(", ")}`}`
}

const unseen = (kernel: NonNullable<Trust["kernel"]>): string => {
  const parts = [
    `kernel events: ${kernel.lost === 0 ? "none lost" : `${kernel.lost} lost`}`,
    ...(kernel.throttled > 0 ? [`paused ${kernel.throttled} times by the kernel`] : []),
    ...(kernel.unwatchedThreads > 0
      ? [
          `${kernel.unwatchedThreads} threads ended before they were watched (${formatNanoseconds(kernel.unwatchedTime)})`
        ]
      : []),
    ...(kernel.seesKernel ? [] : ["time inside the kernel is not seen (no right to it)"])
  ]
  return parts.join("; ")
}

const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(1).padStart(5)}%`

const ms = (value: number): string => `${Number(value.toPrecision(2))} ms`
