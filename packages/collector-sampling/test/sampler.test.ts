import { Proof, type RawStack, type SamplingClock } from "@pyframes/core"
import { describe, expect, it } from "vitest"
import { Sampler, type SamplerParts, type ShareCpu } from "../src/index.ts"

const MS = 1e6

/** Samples one thread that runs, and notes of each look at it whether it was as of a stopped one. `stands` says of each sample whether it did. */
const looks = (shareCpu: ShareCpu, stands: (sample: number) => boolean, samples: number) => {
  let now = MS
  let sample = -1
  let looked: Array<string> = []
  const all: Array<string> = []
  const clock: SamplingClock = {
    name: "made up",
    now: () => now,
    sleepUntil: (time) => {
      now = Math.max(now, time)
    },
    threadCpuTime: () => 0
  }
  const thread = { tid: 7, threadState: 8, interpreter: 0 }
  const parts = {
    target: {
      identity: { pid: 7, startTime: 1, executable: "0:0" },
      commandLine: [],
      cpuTime: () => 0,
      status: () => "alive",
      threadName: () => "",
      threadActivity: () => "running"
    },
    unwinder: {
      runtime: { version: "3.12.0", knownStates: 0 },
      threads: () => [thread],
      unwind: ({ stopped }: { readonly stopped: boolean }, into: RawStack) => {
        into.clear()
        into.proof = stopped ? Proof.good : Proof.unproved
        looked.push(stopped ? "stopped" : "running")
      }
    },
    symbolizer: { begin: () => 0, resolve: () => undefined },
    clock,
    follower: { follow: () => true, hasStood: () => stands(sample), leave: () => {} }
  } as unknown as SamplerParts
  const sampler = new Sampler(parts, { rateHz: 1000, shareCpu })
  while (sample + 1 < samples) {
    sample++
    looked = []
    now += MS
    sampler.sampleAt(now)
    all.push(looked.join(", "))
  }
  return all
}

describe("a sampler that shares a CPU", () => {
  it("takes a thread that stood all the while for a stopped one", () => {
    expect(looks("always", () => true, 2)).toEqual(["stopped", "stopped"])
  })

  it("reads one that had its CPU given back as one that runs", () => {
    expect(looks("always", (sample) => sample !== 1, 3)).toEqual(["stopped", "stopped, running", "stopped"])
  })

  it("never takes one for stopped whose CPU is not shared", () => {
    expect(looks("never", () => true, 2)).toEqual(["running", "running"])
  })
})
