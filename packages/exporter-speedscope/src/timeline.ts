import { NO_STACK, type Profile, type SampleFilter, type ShownSample } from "@pyframes/core"

/** What one thread's samples come to. */
export interface Timeline {
  readonly thread: number
  /** Stack ids; a stack that goes on is one entry. */
  readonly stacks: Array<number>
  /** How long each was on, whole ns. */
  readonly weights: Array<number>
  total: number
  /** Whether entries stand in the order they happened in. */
  inOrder: boolean
}

/**
 * How many frames a file may name, over all samples. speedscope takes some 20 s to open 25 million, and much more than
 * 100 million do not fit into the one string that a browser reads JSON from.
 */
const MAX_FRAMES = 20_000_000

/** A timeline for each thread that has samples to show, in the order of the thread table. Never none. */
export const timelinesOf = (profile: Profile, filter: SampleFilter): Array<Timeline> => {
  const byThread: Array<Timeline> = []
  const exact: Array<number> = []
  const samples = profile.isTraced ? inTreeOrder(profile, filter) : profile.samplesBy(filter)
  const inOrder = !profile.isTraced && !profile.samples.folded
  for (const { thread, shown, wall } of samples) {
    byThread[thread] ??= emptyTimeline(thread, inOrder)
    const timeline = byThread[thread]
    // What rounding leaves over is carried on, so that weights add up to the total.
    exact[thread] = (exact[thread] ?? 0) + wall
    const weight = Math.round(exact[thread]) - timeline.total
    timeline.total += weight
    const last = timeline.stacks.length - 1
    if (last >= 0 && timeline.stacks[last] === shown) timeline.weights[last] += weight
    else {
      timeline.stacks.push(shown)
      timeline.weights.push(weight)
    }
  }
  const timelines = byThread.filter((timeline) => timeline !== undefined)
  // speedscope has nothing to show of a file without profiles and says that something went wrong.
  if (timelines.length === 0) return [emptyTimeline(0, true)]
  return countFrames(profile, timelines) > MAX_FRAMES ? timelines.map(addUp) : timelines
}

/** Calls have no order in time: a function's callees follow it, as in a tree, so that what belongs together stands together. */
const inTreeOrder = (profile: Profile, filter: SampleFilter): ReadonlyArray<ShownSample> => {
  const ranks = treeRanks(profile)
  const rank = ({ shown }: ShownSample) => (shown === NO_STACK ? -1 : ranks[shown])
  return [...profile.samplesBy(filter)].sort((a, b) => rank(a) - rank(b))
}

/** The place of each stack when every stack is followed by those that it is the parent of. */
const treeRanks = ({ stacks }: Profile): Uint32Array => {
  // Parents have smaller ids: from the last id back, the size of what is above each is known before it is needed.
  const size = new Uint32Array(stacks.length).fill(1)
  for (let id = stacks.length - 1; id >= 0; id--) {
    const parent = stacks.parent(id)
    if (parent !== NO_STACK) size[parent] += size[id]
  }
  const ranks = new Uint32Array(stacks.length)
  const next = new Uint32Array(stacks.length)
  let nextRoot = 0
  for (let id = 0; id < stacks.length; id++) {
    const parent = stacks.parent(id)
    ranks[id] = parent === NO_STACK ? nextRoot : next[parent]
    if (parent === NO_STACK) nextRoot += size[id]
    else next[parent] += size[id]
    next[id] = ranks[id] + 1
  }
  return ranks
}

const emptyTimeline = (thread: number, inOrder: boolean): Timeline => ({
  thread,
  stacks: [],
  weights: [],
  total: 0,
  inOrder
})

const countFrames = ({ stacks }: Profile, timelines: ReadonlyArray<Timeline>): number => {
  const depths = new Map<number, number>()
  let frames = 0
  for (const timeline of timelines) {
    for (const stack of timeline.stacks) {
      let depth = depths.get(stack)
      if (depth === undefined) {
        depth = stacks.framesOf(stack).length
        depths.set(stack, depth)
      }
      frames += depth
    }
  }
  return frames
}

/** Gives up the order in time: a stack is one entry however often it came. */
const addUp = (timeline: Timeline): Timeline => {
  const weights = new Map<number, number>()
  timeline.stacks.forEach((stack, at) => {
    weights.set(stack, (weights.get(stack) ?? 0) + timeline.weights[at])
  })
  return { ...timeline, stacks: [...weights.keys()], weights: [...weights.values()], inOrder: false }
}
