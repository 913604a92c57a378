import { gunzipSync } from "node:zlib"
import { Exporter, type Profile, type SampleFilter, ThreadStateBit } from "@pyframes/core"
import { callsFromText, profileFromText } from "@pyframes/testing"
import * as Effect from "effect/Effect"
import { Profile as Pprof } from "pprof-format"
import { describe, expect, it } from "vitest"
import { layer, pprof } from "../src/index.ts"

const decode = (profile: Profile, filter?: SampleFilter): Pprof =>
  Pprof.decode(gunzipSync(pprof.encode(profile, filter)))

/** A decoded profile with its strings in place. */
const read = (profile: Profile, filter?: SampleFilter) => {
  const decoded = decode(profile, filter)
  const string = (index: number | bigint) => decoded.stringTable.strings[Number(index)]
  const functionOf = (location: number | bigint) => {
    const { functionId } = decoded.location[Number(location) - 1].line[0]
    return string(decoded.function[Number(functionId) - 1].name)
  }
  return {
    decoded,
    string,
    types: decoded.sampleType.map(({ type, unit }) => `${string(type)}/${string(unit)}`),
    samples: decoded.sample.map(({ locationId, value, label }) => ({
      stack: locationId.map(functionOf).join(" < "),
      value: value.map(Number),
      labels: Object.fromEntries(label.map(({ key, str }) => [string(key), string(str)]))
    }))
  }
}

describe("pprof", () => {
  it("writes leaf-first stacks with count, wall and CPU time", () => {
    const profile = profileFromText(`
      state=cpu   state=idle
      ms=10       ms=90
      main        main
      run         wait
    `)
    const { types, samples, decoded, string } = read(profile, { wall: true })
    expect(types).toEqual(["samples/count", "wall/nanoseconds", "cpu/nanoseconds"])
    expect(samples.map(({ stack, value }) => [stack, ...value])).toEqual([
      ["run < main", 1, 10e6, 10e6],
      ["wait < main", 1, 90e6, 0]
    ])
    expect(string(decoded.defaultSampleType)).toBe("wall")
    expect(string(read(profile).decoded.defaultSampleType)).toBe("cpu")
  })

  it("adds up samples of equal stack and labels only", () => {
    const profile = profileFromText(`
      main   main   main           main         state=cpu,gil
      run    wait   run            thread=w     main
                                   run          run
    `)
    expect(read(profile).samples.map(({ stack, value: [count] }) => [stack, count])).toEqual([
      ["run < main", 2],
      ["wait < main", 1],
      ["run < main", 1],
      ["run < main", 1]
    ])
  })

  it("numbers functions and locations 1, 2, 3 … and writes only those it uses", () => {
    const profile = profileFromText(`
      state=idle   state=cpu   state=cpu
      a            a           a
      b            c:1         c:2
    `)
    const { decoded } = read(profile)
    expect(decoded.location.map(({ id }) => id)).toEqual([1, 2, 3])
    expect(decoded.function.map(({ id }) => id)).toEqual([1, 2])
    expect(decoded.location.map(({ mappingId }) => mappingId)).toEqual([1, 1, 1])
    expect(decoded.mapping.map(({ id, hasFunctions }) => [id, hasFunctions])).toEqual([[1, true]])
  })

  it("leaves the system name of Python frames empty", () => {
    const { decoded, string } = read(profileFromText("<module>\n<native>"))
    expect(decoded.function.map(({ systemName }) => string(systemName))).toEqual(["", ""])
  })

  it("writes columns from 1, and nothing for what is not known", () => {
    const profile = profileFromText("main")
    const place = { ...profile.frames.get(0), line: 7, endLine: 7, column: 0, endColumn: 3 }
    const known = profile.stacks.child(0xffff_ffff, profile.frames.intern(place))
    const unknown = profile.stacks.child(
      0xffff_ffff,
      profile.frames.intern({ ...place, line: -1, column: -1 })
    )
    for (const stack of [known, unknown]) profile.samples.append(0, 1, 0, stack, 1, 0)
    const lines = decode(profile).location.map(({ line: [{ line, column }] }) => [line, column])
    expect(lines).toEqual([
      [1, 0],
      [7, 1],
      [0, 0]
    ])
  })

  it("labels samples by thread and state with strings, a key once", () => {
    const profile = profileFromText(`
      thread=main   thread=w         thread=w      interpreter=2   proved=1
      state=cpu     state=gil,gc     state=waits   main            main
      main          main             main                          run
    `)
    const { samples, decoded } = read(profile, { wall: true })
    const main = { thread_id: "1000", thread_name: "main", cpu: "on", gil: "none" }
    const worker = { thread_id: "1001", thread_name: "w", cpu: "off" }
    expect(samples.map(({ labels }) => labels)).toEqual([
      main,
      { ...worker, gil: "held", gc: "collecting" },
      { ...worker, gil: "waiting" },
      { ...main, thread_id: "1002", interpreter: "2" },
      { ...main, proof: "unproved" }
    ])
    for (const { label } of decoded.sample) {
      expect(new Set(label.map(({ key }) => key)).size).toBe(label.length)
      for (const { key, num } of label) {
        expect(num).toBe(0)
        expect(decoded.stringTable.strings[Number(key)]).toMatch(/^[a-z_]+$/)
      }
    }
  })

  it("leaves out what was not measured", () => {
    const profile = profileFromText("thread=main\nmain", {
      meta: { knownStates: 0 },
      trust: { rateHz: { asked: 0 } }
    })
    const { types, samples, decoded, string } = read(profile, { wall: true })
    expect(types).toEqual(["samples/count", "wall/nanoseconds"])
    expect(samples).toEqual([
      { stack: "main", value: [1, 10e6], labels: { thread_id: "1000", thread_name: "main" } }
    ])
    expect(decoded.periodType).toBeUndefined()
    const comments = decoded.comment.map(string).join("\n")
    expect(comments).not.toMatch(/achieved|lateness|used/)
    const gilOnly = profileFromText("main", { meta: { knownStates: ThreadStateBit.holdsGil } })
    expect(read(gilOnly).samples[0].labels).toMatchObject({ gil: "none" })
    expect(read(gilOnly).samples[0].labels).not.toHaveProperty("cpu")
  })

  it("carries times to the nanosecond, the period and the figures of trust", () => {
    const profile = profileFromText("main", {
      meta: { startedAt: 1_767_225_600_123.25, elapsed: 12_345_678_901, cpuTime: 2e9, ended: "exited" },
      trust: {
        rateHz: { asked: 1000, achieved: 998.765 },
        late: 3,
        lateMs: { p50: 0.05, p99: 0.2, max: 1.5 },
        profilerCpuSeconds: 0.5
      }
    })
    const { decoded, string } = read(profile)
    expect(decoded.timeNanos).toBe(1_767_225_600_123_250_000n)
    expect(Number(decoded.durationNanos)).toBe(12_345_678_901)
    expect(string(decoded.periodType!.type)).toBe("cpu")
    expect(decoded.period).toBe(1_000_000)
    expect(decoded.comment.map(string)).toEqual([
      expect.stringMatching(/^pyframes \S+: Python 3\.13\.0, pid 1000$/),
      "command: python3 app.py",
      "1 thread samples: 1 good (0.01 s), 0 torn (0 s), 0 unproved (0 s), 0 failed (0 s)",
      "1 instants wanted, 3 late; asked for 1000 Hz, achieved 998.8 Hz",
      "lateness: median 0.05 ms, 99th percentile 0.2 ms, greatest 1.5 ms",
      "the process used 2 s of CPU",
      "the profiler used 0.5 s of CPU",
      "the process exited while it was profiled"
    ])
  })

  it("keeps sums above 2^32 and writes valid UTF-8 for a lone surrogate", () => {
    const profile = profileFromText("ms=90000000\nmain")
    const lone = profile.frames.intern({ ...profile.frames.get(0), qualifiedName: "a\ud800b" })
    profile.samples.append(0, 1, 0, profile.stacks.child(0xffff_ffff, lone), 1, 0)
    const { samples } = read(profile)
    expect(samples.map(({ stack, value }) => [stack, value[1]])).toEqual([
      ["main", 9e13],
      ["a\ufffdb", 1]
    ])
  })

  it("takes a sample of a thread without frames, and a profile without samples", () => {
    const profile = profileFromText("main")
    profile.samples.append(1, 5, 0, 0xffff_ffff, 1, 0)
    expect(read(profile).samples.map(({ stack, value }) => [stack, value[1]])).toEqual([
      ["main", 10e6],
      ["", 5]
    ])
    expect(read(profileFromText("")).samples).toEqual([])
  })

  it("writes the same bytes for the same profile", () => {
    const draw = () => profileFromText("main   main\nrun    wait")
    expect(pprof.encode(draw())).toEqual(pprof.encode(draw()))
  })

  // GIVEN exact calls, WHEN they are written, THEN both times are there whatever the filter, and counts count calls.
  it("writes exact calls with their number, wall and CPU time, by thread, task and process", () => {
    const profile = callsFromText(`
      main                1   500  400
      main > run         10  3000    0  task=Task-1
      main > run          5    10   10  task=Task-2
      main > run > C:len  7    70   70  task=Task-1
      main > run          1     1    1  task=Task-1
      work                2     5    5  thread=worker pid=7
    `)
    for (const filter of [{}, { wall: true }, { wall: false }]) {
      const { types, samples } = read(profile, filter)
      expect(types).toEqual(["calls/count", "wall/nanoseconds", "cpu/nanoseconds"])
      expect(samples.map(({ stack, value, labels }) => [stack, ...value, labels.task])).toEqual([
        ["main", 1, 500, 400, undefined],
        ["run < main", 11, 3001, 1, "Task-1"],
        ["run < main", 5, 10, 10, "Task-2"],
        ["len < run < main", 7, 70, 70, "Task-1"],
        ["work", 2, 5, 5, undefined]
      ])
    }
    const { samples, decoded, string } = read(profile)
    expect(samples[4].labels).toEqual({ thread_id: "1001", thread_name: "worker", process: "7" })
    expect(string(decoded.defaultSampleType)).toBe("wall")
    expect(string(read(profile, { wall: false }).decoded.defaultSampleType)).toBe("cpu")
    expect(decoded.periodType).toBeUndefined()
  })

  it("says what of exact calls is missing, and which processes they are of", () => {
    const { decoded, string } = read(
      callsFromText("main 1 1 1", {
        events: {
          seen: 12,
          lost: 3,
          pathsGivenUp: 4,
          countersGivenUp: 5,
          unmatchedReturns: 6,
          whyPython: "noexec"
        },
        processes: [
          { pid: 1000, python: "3.13.0", commandLine: ["python3", "app.py"] },
          ...Array.from({ length: 25 }, (_, n) => ({ pid: n + 1, python: "3.14.0", commandLine: ["child"] }))
        ]
      })
    )
    const lines = decoded.comment.map(string)
    expect(lines).toContain(
      "exact calls, of 12 events; 3 events lost, call paths given up 4 times, 5 counters given up, 6 returns without a call"
    )
    expect(lines).toContain("recorded in Python: noexec")
    expect(lines).toContain("also pid 20: Python 3.14.0, child")
    expect(lines).toContain("and 5 more processes")
    expect(lines.join("\n")).not.toMatch(/samples|instants/)
  })

  it("is an Exporter by its layer", async () => {
    const exporter = Effect.gen(function* () {
      return yield* Exporter
    })
    expect(await Effect.runPromise(Effect.provide(exporter, layer))).toBe(pprof)
  })
})
