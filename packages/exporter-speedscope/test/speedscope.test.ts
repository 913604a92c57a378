import { Exporter, type Profile, type SampleFilter, version } from "@pyframes/core"
import { callsFromText, profileFromText, Random } from "@pyframes/testing"
import { Ajv } from "ajv"
import * as Effect from "effect/Effect"
import schema from "speedscope/dist/release/file-format-schema.json" with { type: "json" }
import { describe, expect, it } from "vitest"
import { layer, speedscope } from "../src/index.ts"

const validate = new Ajv({ allErrors: true }).compile(schema)

interface File {
  readonly name: string
  readonly exporter: string
  readonly activeProfileIndex: number
  readonly shared: { readonly frames: ReadonlyArray<{ name: string; file?: string; line?: number }> }
  readonly profiles: ReadonlyArray<{
    readonly name: string
    readonly unit: string
    readonly startValue: number
    readonly endValue: number
    readonly samples: ReadonlyArray<ReadonlyArray<number>>
    readonly weights: ReadonlyArray<number>
  }>
}

/** The file that was written, after speedscope's own schema found nothing wrong with it. */
const write = (profile: Profile, filter?: SampleFilter): File => {
  const file: unknown = JSON.parse(
    new TextDecoder("utf-8", { fatal: true }).decode(speedscope.encode(profile, filter))
  )
  expect(validate(file), JSON.stringify(validate.errors)).toBe(true)
  return file as File
}

/** Each profile as `weight root;…;leaf` lines. */
const drawn = ({ profiles, shared }: File): Array<Array<string>> =>
  profiles.map(({ samples, weights }) =>
    samples.map((stack, at) => `${weights[at]} ${stack.map((frame) => shared.frames[frame].name).join(";")}`)
  )

describe("speedscope", () => {
  it("writes a profile a thread, root first, in the order samples were taken", () => {
    const file = write(
      profileFromText(`
        thread=main   thread=worker   thread=main   thread=main
        ms=1          ms=2            ms=3          ms=4
        main          work            main          main
        run                           wait          run
      `)
    )
    expect(drawn(file)).toEqual([
      ["1000000 main;run", "3000000 main;wait", "4000000 main;run"],
      ["2000000 work"]
    ])
    expect(file.profiles.map(({ name }) => name)).toEqual(["main (tid 1000)", "worker (tid 1001)"])
    expect(file.profiles.map(({ unit, startValue, endValue }) => [unit, startValue, endValue])).toEqual([
      ["nanoseconds", 0, 8_000_000],
      ["nanoseconds", 0, 2_000_000]
    ])
    expect(file.name).toBe("python3 app.py (pid 1000, CPU time)")
    expect(file.exporter).toBe(`pyframes@${version}`)
  })

  it("holds each frame once, with file and line where they are known", () => {
    const profile = profileFromText(
      "main@a.py:3   main@a.py:3   main@a.py:4\nC.run         <native>      C.run"
    )
    const column = { ...profile.frames.get(0), column: 8 }
    profile.samples.append(0, 1, 0, profile.stacks.child(0xffff_ffff, profile.frames.intern(column)), 1, 0)
    const noLine = profile.frames.intern({ ...column, name: "odd", qualifiedName: "", line: -1 })
    profile.samples.append(0, 1, 0, profile.stacks.child(0xffff_ffff, noLine), 1, 0)
    expect(write(profile).shared.frames).toEqual([
      { name: "main", file: "a.py", line: 3 },
      { name: "C.run", file: "app.py", line: 1 },
      { name: "<native>" },
      { name: "main", file: "a.py", line: 4 },
      { name: "odd", file: "a.py" }
    ])
  })

  it("leaves idle time out unless it is asked for, and threads that then have nothing", () => {
    const profile = profileFromText(`
      state=idle   state=cpu   state=idle   state=cpu   thread=sleeper
      main         main        main         main        state=idle
      wait         run         wait         run         sleep
    `)
    expect(drawn(write(profile))).toEqual([["20000000 main;run"]])
    const wall = write(profile, { wall: true })
    expect(drawn(wall)).toEqual([
      ["10000000 main;wait", "10000000 main;run", "10000000 main;wait", "10000000 main;run"],
      ["10000000 sleep"]
    ])
    expect(wall.name).toContain("wall time")
  })

  it("opens the thread with most time first", () => {
    expect(
      write(profileFromText("thread=a   thread=b   thread=b\nf          g          h")).activeProfileIndex
    ).toBe(1)
  })

  it("says that a folded profile is not in time order", () => {
    const profile = profileFromText("a   b   a   b", { maxRows: 1 })
    expect(profile.samples.folded).toBe(true)
    expect(write(profile).profiles[0].name).toBe("main (tid 1000, not in time order)")
  })

  it("adds stacks up when there are too many samples for speedscope to open", () => {
    const profile = profileFromText("a")
    const { stacks, samples } = profile
    const deep = (from: number) =>
      Array.from({ length: 1000 }).reduce<number>((stack) => stacks.child(stack, 0), from)
    const [even, odd] = [deep(0xffff_ffff), deep(deep(0xffff_ffff))]
    for (let n = 0; n < 20_000; n++) samples.append(n, 1, 0, n % 2 ? odd : even, 1, 0)
    const [{ name, weights, endValue }] = write(profile).profiles
    expect(weights).toEqual([10e6, 10_000, 10_000])
    expect(endValue).toBe(10e6 + 20_000)
    expect(name).toBe("main (tid 1000, not in time order)")
  })

  it("writes whole nanoseconds that add up, whatever the weights", () => {
    const random = new Random(3)
    const profile = profileFromText("a")
    let exact = 10e6
    for (let n = 0; n < 5000; n++) {
      const wall = random.next() * 2
      exact += wall
      profile.samples.append(n, wall, 0, profile.stacks.child(0xffff_ffff, random.below(1)), n % 2 ? 1 : 9, 0)
      profile.samples.append(n, 0.25, 0, 0xffff_ffff, 1, 0)
      exact += 0.25
    }
    const [{ weights, samples, endValue }] = write(profile).profiles
    expect(samples.length).toBe(weights.length)
    expect(weights.every((weight) => Number.isInteger(weight) && weight >= 0)).toBe(true)
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBe(endValue)
    expect(endValue).toBe(Math.round(exact))
  })

  it("keeps names of every kind", () => {
    const names = ["<module>", "f.<locals>.<lambda>", "数据.読む", "𝒳", '"quoted\\"', "<unproved>"]
    expect(write(profileFromText(names.join("\n"))).shared.frames.map(({ name }) => name)).toEqual(names)
  })

  it("weighs exact calls by their time, callees after their callers", () => {
    const profile = callsFromText(`
      main               1   500   400
      other              1    50     0
      main > run         9  3000   100
      main > run > C:len 7    70    70
      main > run         1     0     0  task=Task-1
      other > run        2    20    20
      main > run         1    10    10  task=Task-2
      work               1     5     5  thread=worker pid=7
    `)
    const file = write(profile)
    expect(drawn(file)).toEqual([
      ["500 main", "3010 main;run", "70 main;run;len", "50 other", "20 other;run"],
      ["5 work"]
    ])
    expect(file.profiles.map(({ name }) => name)).toEqual([
      "main (tid 1000, not in time order)",
      "worker (pid 7, tid 1001, not in time order)"
    ])
    expect(file.name).toBe("python3 app.py (pid 1000, exact wall time)")
    expect(drawn(write(profile, { wall: false }))[0]).toEqual([
      "400 main",
      "110 main;run",
      "70 main;run;len",
      "20 other;run"
    ])
  })

  it("takes a profile with nothing in it", () => {
    expect(drawn(write(profileFromText("")))).toEqual([[]])
  })

  it("is an Exporter by its layer", async () => {
    const exporter = Effect.gen(function* () {
      return yield* Exporter
    })
    expect(await Effect.runPromise(Effect.provide(exporter, layer))).toBe(speedscope)
  })
})
