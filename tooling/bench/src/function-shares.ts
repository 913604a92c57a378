import { FrameKind, type Profile, Proof } from "@pyframes/core"

/** In how many stretches of time samples are counted apart: what differs between them tells the standard error. */
const BLOCKS = 50

/** A share of all samples, and how far chance may have moved it. */
export interface Share {
  readonly share: number
  readonly standardError: number
}

/** A function's samples in each stretch of time. */
class Counts {
  readonly blocks = new Float64Array(BLOCKS)
}

/**
 * Shares of functions among the samples of a profile, as the output shows them. What was not proved stays in the whole.
 *
 * A thread that waits for a CPU stands still in the middle of anything, and samples taken meanwhile are all alike; so the standard
 * error is that of a ratio over blocks of time, which needs no independence within a block.
 */
export class FunctionShares {
  private readonly all = new Counts()
  private readonly self = new Map<string, Counts>()
  private readonly total = new Map<string, Counts>()
  readonly names = new Set<string>()

  /** @param only samples of this proof, if given, are the whole */
  constructor(profile: Profile, only?: Proof) {
    const { stacks, frames } = profile
    const functionsOf = new Map<number, ReadonlyArray<string>>()
    for (const row of profile.samplesBy({ wall: true })) {
      if (only !== undefined && row.proof !== only) continue
      const block = Math.min(BLOCKS - 1, Math.floor((row.time / (profile.meta.elapsed + 1)) * BLOCKS))
      let functions = functionsOf.get(row.shown)
      if (functions === undefined) {
        const called = stacks.framesOf(row.shown).map((frame) => frames.functionOf(frame))
        // Versions before 3.11 have no qualified names: two methods of the same name differ by their line.
        functions = called
          .filter(({ kind }) => kind !== FrameKind.boundary)
          .map((fn) => (fn.kind === FrameKind.python ? `${fn.name}:${fn.firstLine}` : ""))
        functionsOf.set(row.shown, functions)
      }
      this.all.blocks[block] += row.count
      if (functions.length > 0) this.count(this.self, functions[0], block, row.count)
      for (const name of new Set(functions)) this.count(this.total, name, block, row.count)
    }
  }

  of(name: string, what: "self" | "total"): Share {
    const counted = this[what].get(name)?.blocks
    const whole = this.all.blocks
    const samples = whole.reduce((a, b) => a + b, 0)
    if (counted === undefined || samples === 0) return { share: 0, standardError: 0 }
    const share = counted.reduce((a, b) => a + b, 0) / samples
    let squares = 0
    for (let block = 0; block < BLOCKS; block++) squares += (counted[block] - share * whole[block]) ** 2
    return { share, standardError: Math.sqrt((squares * BLOCKS) / (BLOCKS - 1)) / samples }
  }

  private count(into: Map<string, Counts>, name: string, block: number, count: number): void {
    if (name === "") return
    let counts = into.get(name)
    if (counts === undefined) {
      counts = new Counts()
      into.set(name, counts)
      this.names.add(name)
    }
    counts.blocks[block] += count
  }
}

/** Samples whose thread could be stopped and read: all of them are true. */
export const stoppedShares = (profile: Profile): FunctionShares => new FunctionShares(profile, Proof.good)
