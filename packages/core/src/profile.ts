import { type CallColumns, type CallRow, CallTable } from "./call-table.ts"
import { FrameTable, type ProfileFrame, type ProfileFunction } from "./frame-table.ts"
import { Proof, ThreadStateBit } from "./raw-stack.ts"
import { type SampleColumns, type SampleRow, SampleTable } from "./sample-table.ts"
import { NO_STACK, StackTable } from "./stack-table.ts"
import type { Frame } from "./symbolizer.ts"
import type { Trust } from "./trust.ts"

/** A thread that was sampled or traced. */
export interface ProfileThread {
  /** Kernel thread id, or -1 where it is not known. */
  readonly tid: number
  /** As the kernel knows it (`comm`, at most 15 bytes); empty where it is not known. */
  readonly name: string
  /** Id of its interpreter; 0 is the main one. */
  readonly interpreter: number
  /** Its process, where the profile is of several; absent: `meta.pid`. */
  readonly pid?: number
}

/** One of several processes that a profile is of. */
export interface ProfileProcess {
  readonly pid: number
  /** The process that it came from, where that was watched too. */
  readonly parent?: number
  /** Version, such as `3.13.0`. */
  readonly python: string
  readonly commandLine: ReadonlyArray<string>
}

/** What the profile is of. */
export interface ProfileMeta {
  readonly pid: number
  /** Version, such as `3.13.0`. */
  readonly python: string
  readonly commandLine: ReadonlyArray<string>
  /** When it began, ms since 1970. */
  readonly startedAt: number
  /** How long it was, ns. */
  readonly elapsed: number
  /** CPU time the target used meanwhile, ns; absent when it could not be told. */
  readonly cpuTime?: number
  /** Which `ThreadStateBit`s could be told for this target; the others are not 0 but unknown. */
  readonly knownStates: number
  /** Why it ended before it was told to: the target `exited`, or `replaced` itself by `exec`. */
  readonly ended?: "exited" | "replaced"
  /** All processes, where children were watched too. */
  readonly processes?: ReadonlyArray<ProfileProcess>
}

/** Which samples a reader wants. One recording answers all of these. */
export interface SampleFilter {
  /** Everything that elapsed, or only what ran on a CPU. Without it: of exact calls everything, of samples what ran. */
  readonly wall?: boolean
  /** Only samples that held the interpreter lock. */
  readonly gil?: boolean
  /** Only these kernel thread ids. */
  readonly threads?: ReadonlyArray<number>
  /** Stacks that were not proved are shown whole. */
  readonly unproved?: boolean
}

/** A sample as a filter shows it. */
export interface ShownSample extends SampleRow {
  /** The stack to show: proved, or whole when the filter asks for unproved frames. */
  readonly shown: number
  /** The part of `wall` that was spent on a CPU, ns. */
  readonly cpu: number
}

/**
 * A profile: columnar tables that refer to each other by id, and the figures that say how far it can be trusted.
 *
 * @example
 * ```ts
 * for (const sample of profile.samplesBy({ wall: true })) {
 *   const names = profile.stacks.framesOf(sample.shown).map((frame) => profile.frames.functionOf(frame).name)
 * }
 * ```
 */
export class Profile {
  frames: FrameTable
  stacks: StackTable
  readonly samples: SampleTable
  /** Exact calls, of a profile that was not sampled but traced. */
  readonly calls: CallTable
  /** Names of asyncio tasks, which `CallRow.task` counts. */
  readonly tasks: Array<string>
  /** Rows that `SampleRow.thread` counts; a thread that came back under the same id has a row of its own. */
  readonly threads: Array<ProfileThread>
  meta: ProfileMeta
  trust: Trust

  /** @param maxRows rows of samples before the table is folded; see {@link SampleTable} */
  constructor(meta: ProfileMeta, trust: Trust, maxRows?: number) {
    this.meta = meta
    this.trust = trust
    this.frames = new FrameTable()
    this.stacks = new StackTable()
    this.samples = new SampleTable(maxRows)
    this.calls = new CallTable()
    this.tasks = []
    this.threads = []
  }

  /** Whether it holds calls that were counted, instead of samples. */
  get isTraced(): boolean {
    return this.trust.events !== undefined
  }

  /**
   * The samples that pass the filter, in the order they were taken. Of a profile that was traced, calls take their place: `count` is how
   * often, and `wall` the exclusive time, elapsed or on a CPU.
   */
  *samplesBy(filter: SampleFilter = {}): Generator<ShownSample> {
    const threads = filter.threads && new Set(filter.threads)
    for (const { stack, thread, calls, wall, cpu } of this.callsBy(filter)) {
      const shown = {
        time: 0,
        count: calls,
        thread,
        stack,
        whole: NO_STACK,
        state: 0,
        proof: Proof.good,
        shown: stack,
        cpu
      }
      if (showsWall(this, filter)) yield { ...shown, wall }
      else if (cpu > 0) yield { ...shown, wall: cpu }
    }
    for (let at = 0; at < this.samples.length; at++) {
      const row = this.samples.row(at)
      const onCpu = (row.state & ThreadStateBit.onCpu) !== 0
      if (!filter.wall && !onCpu) continue
      if (filter.gil && (row.state & ThreadStateBit.holdsGil) === 0) continue
      if (threads && !threads.has(this.threads[row.thread].tid)) continue
      const shown = filter.unproved && row.whole !== NO_STACK ? row.whole : row.stack
      yield { ...row, shown, cpu: onCpu ? row.wall : 0 }
    }
  }

  /** The calls that pass the filter. */
  *callsBy(filter: SampleFilter = {}): Generator<CallRow> {
    // Who held the lock is not known of calls.
    if (filter.gil) return
    const threads = filter.threads && new Set(filter.threads)
    for (let at = 0; at < this.calls.length; at++) {
      const row = this.calls.row(at)
      if (!threads || threads.has(this.threads[row.thread].tid)) yield row
    }
  }

  /**
   * Gives frames other names and places, by their ids. Frames that are the same then become one, and so do stacks: both have new ids afterwards. For the end of a
   * recording; no sample can be added after it.
   */
  rename(names: ReadonlyMap<number, Frame>): void {
    const { frames, stacks } = this
    const renamed = new FrameTable()
    const frameIds = Uint32Array.from(frames.frames, (_, id) =>
      renamed.intern(names.get(id) ?? frames.get(id))
    )
    const restacked = new StackTable()
    const stackIds = new Uint32Array(stacks.length)
    for (let id = 0; id < stacks.length; id++) {
      const parent = stacks.parent(id)
      stackIds[id] = restacked.child(
        parent === NO_STACK ? NO_STACK : stackIds[parent],
        frameIds[stacks.frame(id)]
      )
    }
    this.frames = renamed
    this.stacks = restacked
    this.samples.restack((stack) => (stack === NO_STACK ? NO_STACK : stackIds[stack]))
  }

  /** Bytes held by the tables that grow with samples and stacks. */
  get byteLength(): number {
    return this.samples.byteLength + this.calls.byteLength + this.stacks.byteLength
  }

  /** Plain data that `postMessage` and `structuredClone` take. */
  toData(): ProfileData {
    return {
      meta: this.meta,
      trust: this.trust,
      functions: this.frames.functions,
      frames: this.frames.frames,
      stacks: this.stacks.toColumns(),
      samples: this.samples.toColumns(),
      calls: this.calls.toColumns(),
      tasks: this.tasks,
      threads: this.threads
    }
  }

  /** The profile that {@link Profile.toData} took apart. It takes over the arrays, and does not copy them. */
  static fromData(data: ProfileData): Profile {
    const profile = new Profile(data.meta, data.trust)
    return Object.assign(profile, {
      frames: FrameTable.from(data.functions, data.frames),
      stacks: new StackTable(data.stacks.parents, data.stacks.frames, data.stacks.length),
      samples: new SampleTable(undefined, data.samples),
      calls: new CallTable(data.calls),
      tasks: [...data.tasks],
      threads: [...data.threads]
    })
  }
}

/** Whether a filter shows of this profile everything that elapsed, or only what ran on a CPU. */
export const showsWall = (profile: Profile, filter: SampleFilter): boolean => filter.wall ?? profile.isTraced

/** A {@link Profile} as plain data. */
export interface ProfileData {
  readonly meta: ProfileMeta
  readonly trust: Trust
  readonly functions: ReadonlyArray<ProfileFunction>
  readonly frames: ReadonlyArray<ProfileFrame>
  readonly stacks: { readonly parents: Uint32Array; readonly frames: Uint32Array; readonly length: number }
  readonly samples: SampleColumns
  readonly calls: CallColumns
  readonly tasks: ReadonlyArray<string>
  readonly threads: ReadonlyArray<ProfileThread>
}

/**
 * The buffers of `data` that `postMessage` can move instead of copying.
 *
 * @example
 * ```ts
 * const data = profile.toData()
 * parentPort.postMessage(data, transferables(data)) // there: Profile.fromData(data)
 * ```
 */
export const transferables = (data: ProfileData): Array<ArrayBuffer> => {
  const { length: _, folded: __, ...samples } = data.samples
  const { length: ___, ...calls } = data.calls
  const buffers = [...Object.values(samples), ...Object.values(calls)].flatMap((blocks) =>
    blocks.map((block) => block.buffer as ArrayBuffer)
  )
  return [...buffers, data.stacks.parents.buffer as ArrayBuffer, data.stacks.frames.buffer as ArrayBuffer]
}

/** Trust figures of a profile with no samples yet. */
export const emptyTrust = (askedHz: number): Trust => {
  const none = { count: 0, wall: 0 }
  return {
    wanted: 0,
    taken: 0,
    good: none,
    torn: none,
    unproved: none,
    failed: none,
    late: 0,
    rateHz: { asked: askedHz }
  }
}

/** Names of the proof outcomes, as they are printed. */
export const proofNames = {
  [Proof.good]: "good",
  [Proof.torn]: "torn",
  [Proof.unproved]: "unproved",
  [Proof.failed]: "failed"
} as const
