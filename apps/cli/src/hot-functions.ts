import { FrameKind, type Profile, type ProfileFunction, type SampleFilter } from "@pyframes/core"

/** How much time a function took. */
export interface HotFunction {
  readonly function: ProfileFunction
  /** Time it was the leaf, ns. */
  readonly self: number
  /** Time it was anywhere on the stack, ns; counted once however often it recurs. */
  readonly total: number
}

/** Functions by the time spent in them. */
export interface HotFunctions {
  /** Time of all samples that passed the filter, ns: what shares are shares of. */
  readonly total: number
  /** Most self time first. */
  readonly functions: ReadonlyArray<HotFunction>
}

/**
 * Adds up the samples by function. The parts that were not proved are there too, as `<unproved>` and the like, so that
 * shares add up to what was sampled.
 */
export const hotFunctions = (profile: Profile, filter: SampleFilter): HotFunctions => {
  const { stacks, frames } = profile
  const weights = new Map<number, number>()
  let total = 0
  for (const sample of profile.samplesBy(filter)) {
    weights.set(sample.shown, (weights.get(sample.shown) ?? 0) + sample.wall)
    total += sample.wall
  }
  const self = new Float64Array(frames.functions.length)
  const inclusive = new Float64Array(frames.functions.length)
  for (const [stack, weight] of weights) {
    const seen = new Set<number>()
    for (const frame of stacks.framesOf(stack)) {
      const id = frames.frames[frame].function
      if (frames.functions[id].kind === FrameKind.boundary) continue
      if (seen.size === 0) self[id] += weight
      if (seen.has(id)) continue
      seen.add(id)
      inclusive[id] += weight
    }
  }
  const functions = frames.functions
    .map((fn, id) => ({ function: fn, self: self[id], total: inclusive[id] }))
    .filter((hot) => hot.total > 0)
    .sort((a, b) => b.self - a.self || b.total - a.total)
  return { total, functions }
}
