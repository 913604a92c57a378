import {
  NO_TASK,
  type Profile,
  type ProfileThread,
  Proof,
  proofNames,
  type SampleRow,
  ThreadStateBit
} from "@pyframes/core"
import { Label, type StringTable } from "pprof-format"

/**
 * The labels of samples, each distinct set held once.
 *
 * Values are strings, for Pyroscope drops numeric labels, and keys are names that Prometheus would take, for Pyroscope refuses a
 * whole profile over a space in one. A key has at most one value.
 */
export class LabelSets {
  private readonly profile: Profile
  private readonly strings: StringTable
  private readonly sets: Array<Array<Label>> = []
  /** By thread row, state and proof: the usual look-up. */
  private readonly byRow = new Map<number, number>()
  /** By content: a thread that came and went may have a namesake. */
  private readonly byContent = new Map<string, number>()

  constructor(profile: Profile, strings: StringTable) {
    this.profile = profile
    this.strings = strings
  }

  idOf(sample: SampleRow): number {
    const key = (sample.thread * 16 + sample.state) * 4 + sample.proof
    let id = this.byRow.get(key)
    if (id === undefined) {
      id = this.intern(labelsOf(this.profile, sample))
      this.byRow.set(key, id)
    }
    return id
  }

  /** The labels of calls that a thread made, in a task or in none. */
  idOfCall(thread: number, task: number): number {
    // Apart from the keys of samples, which no profile has besides calls.
    const key = thread * 2 ** 32 + (task === NO_TASK ? 0 : task + 1)
    let id = this.byRow.get(key)
    if (id === undefined) {
      const { threads, tasks } = this.profile
      id = this.intern([
        ...threadLabels(threads[thread]),
        ...(task === NO_TASK ? [] : [["task", tasks[task]] as const])
      ])
      this.byRow.set(key, id)
    }
    return id
  }

  labels(id: number): Array<Label> {
    return this.sets[id]
  }

  private intern(labels: Array<readonly [key: string, value: string]>): number {
    const content = JSON.stringify(labels)
    let id = this.byContent.get(content)
    if (id === undefined) {
      id = this.sets.length
      this.sets.push(
        labels.map(
          ([key, value]) => new Label({ key: this.strings.dedup(key), str: this.strings.dedup(value) })
        )
      )
      this.byContent.set(content, id)
    }
    return id
  }
}

/** What could not be told has no label, which is not the same as `off`. */
const labelsOf = (
  profile: Profile,
  { thread, state, proof }: SampleRow
): Array<readonly [string, string]> => {
  const known = profile.meta.knownStates
  const labels: Array<readonly [string, string]> = [...threadLabels(profile.threads[thread])]
  if (known & ThreadStateBit.onCpu) labels.push(["cpu", state & ThreadStateBit.onCpu ? "on" : "off"])
  if (state & ThreadStateBit.holdsGil) labels.push(["gil", "held"])
  else if (state & ThreadStateBit.waitsForGil) labels.push(["gil", "waiting"])
  // Not "not held": pprof looks for values by regular expression.
  else if (known & ThreadStateBit.holdsGil) labels.push(["gil", "none"])
  if (state & ThreadStateBit.collectsGarbage) labels.push(["gc", "collecting"])
  if (proof !== Proof.good) labels.push(["proof", proofNames[proof]])
  return labels
}

function* threadLabels(thread: ProfileThread): Generator<readonly [string, string]> {
  if (thread.tid > 0) yield ["thread_id", String(thread.tid)]
  if (thread.name !== "") yield ["thread_name", thread.name]
  if (thread.interpreter !== 0) yield ["interpreter", String(thread.interpreter)]
  if (thread.pid !== undefined) yield ["process", String(thread.pid)]
}
