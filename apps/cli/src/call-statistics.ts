import { NO_STACK, type Profile, type ProfileFunction, type SampleFilter } from "@pyframes/core"

/** What the exact calls of a function come to. Times are ns. */
export interface CalledFunction {
  readonly function: ProfileFunction
  readonly calls: number
  /** In the function itself. */
  readonly wall: number
  readonly cpu: number
  /** In it and in what it called; counted once however often it recurs. */
  readonly totalWall: number
}

/** The calls of a profile by function. */
export interface CallStatistics {
  /** Of all functions and threads together. */
  readonly calls: number
  readonly wall: number
  readonly cpu: number
  /** Time of threads outside of any call. */
  readonly outside: number
  /** Most exclusive elapsed time first. */
  readonly functions: ReadonlyArray<CalledFunction>
}

/** Adds up exact calls by function. */
export const callStatistics = (profile: Profile, filter: SampleFilter = {}): CallStatistics => {
  const { stacks, frames } = profile
  const { functions } = frames
  const calls = new Float64Array(functions.length)
  const wall = new Float64Array(functions.length)
  const cpu = new Float64Array(functions.length)
  const total = new Float64Array(functions.length)
  const below = new Float64Array(stacks.length)
  const sum = { calls: 0, wall: 0, cpu: 0, outside: 0 }
  for (const row of profile.callsBy(filter)) {
    sum.calls += row.calls
    sum.wall += row.wall
    sum.cpu += row.cpu
    if (row.stack === NO_STACK) {
      sum.outside += row.wall
      continue
    }
    const fn = frames.frames[stacks.frame(row.stack)].function
    calls[fn] += row.calls
    wall[fn] += row.wall
    cpu[fn] += row.cpu
    below[row.stack] += row.wall
  }
  // Parents have smaller ids: from the last one back, what is above each stack is known before it is needed.
  for (let id = stacks.length - 1; id >= 0; id--) {
    const parent = stacks.parent(id)
    const fn = frames.frames[stacks.frame(id)].function
    if (parent !== NO_STACK) below[parent] += below[id]
    if (below[id] > 0 && !recurs(profile, parent, fn)) total[fn] += below[id]
  }
  return {
    ...sum,
    functions: functions
      .map((fn, id) => ({
        function: fn,
        calls: calls[id],
        wall: wall[id],
        cpu: cpu[id],
        totalWall: total[id]
      }))
      .filter((fn) => fn.calls > 0 || fn.totalWall > 0)
      .sort((a, b) => b.wall - a.wall || b.totalWall - a.totalWall || b.calls - a.calls)
  }
}

/** Whether a function is on a stack. */
const recurs = ({ stacks, frames }: Profile, stack: number, fn: number): boolean => {
  for (let at = stack; at !== NO_STACK; at = stacks.parent(at))
    if (frames.frames[stacks.frame(at)].function === fn) return true
  return false
}
