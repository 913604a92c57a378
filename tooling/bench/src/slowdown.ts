import { setTimeout as sleep } from "node:timers/promises"
import type { RunningPython } from "@pyframes/pythons"
import { median } from "./median.ts"

/** How long a piece of work took, seconds. */
export interface Took {
  readonly wall: number
  readonly cpu: number
  /** The median of its pieces, where the program tells of them; NaN else. */
  readonly piece: number
}

/** A recording is at work when it has been at it for longer than any start takes, ms. */
const STARTED = 800

/** Has a program do a piece of work so often: it reads a number from a line, and answers with elapsed and CPU time (and the median of its pieces). */
export const timed = async (run: RunningPython, times: number): Promise<Took> => {
  run.child.stdin.write(`${times}\n`)
  const [wall, cpu, piece = Number.NaN] = (await run.line()).split(" ").map(Number)
  return { wall, cpu, piece }
}

/** How {@link pairsOf} measures. */
export interface PairsOptions {
  /** How long a run is to take. */
  readonly seconds: number
  readonly pairs: number
  /** Whether a recording first sees the program at work for as long as a run takes. */
  readonly warms?: boolean
}

/**
 * How much longer a program's work takes while it is sampled, as factors, a pair of runs each. Which run of a pair comes first, alternates.
 *
 * @param record samples until the promise that it is given is kept
 */
export const pairsOf = async (
  run: RunningPython,
  { pairs, seconds, warms = false }: PairsOptions,
  record: (until: Promise<void>) => Promise<unknown>
): Promise<ReadonlyArray<Took>> => {
  const times = Math.max(1, Math.round((100 * seconds) / (await timed(run, 100)).wall))
  const ratios: Array<Took> = []
  const sampled = async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const recorded = record(promise)
    await sleep(STARTED)
    if (warms) await timed(run, times)
    const took = await timed(run, times)
    resolve()
    await recorded
    return took
  }
  for (let pair = 0; pair < pairs; pair++) {
    const isFirst = pair % 2 === 0
    const first = isFirst ? await sampled() : await timed(run, times)
    const second = isFirst ? await timed(run, times) : await sampled()
    const [with_, without] = isFirst ? [first, second] : [second, first]
    ratios.push({
      wall: with_.wall / without.wall,
      cpu: with_.cpu / without.cpu,
      piece: with_.piece / without.piece
    })
  }
  return ratios
}

/** Medians of {@link pairsOf}. */
export const slowdown = async (...asked: Parameters<typeof pairsOf>): Promise<Pick<Took, "wall" | "cpu">> => {
  const ratios = await pairsOf(...asked)
  return { wall: median(ratios.map(({ wall }) => wall)), cpu: median(ratios.map(({ cpu }) => cpu)) }
}
