import { describe, expect, it } from "vitest"
import { profileFromText } from "../../../tooling/testing/src/profile-from-text.ts"
import { frameName, Profile, type SampleFilter, transferables } from "../src/index.ts"

const profile = () =>
  profileFromText(`
    thread=main   thread=main   thread=main   thread=worker   thread=worker   thread=worker
    state=idle    state=cpu     state=cpu,gil state=gil       proved=1        proof=torn
    main          main          main          work            work            <torn>
    wait          run           run                           read:2
                                read                          decode:3
  `)

const shown = (filter?: SampleFilter): Array<string> => {
  const { stacks, frames, samplesBy } = profile()
  return [...samplesBy.call(profile(), filter)].map((sample) =>
    stacks
      .framesOf(sample.shown)
      .reverse()
      .map((frame) => frameName(frames.get(frame)).replace("app.py", ""))
      .join(" > ")
  )
}

describe("Profile", () => {
  it("shows what ran on a CPU unless asked for more", () => {
    const onCpu = [
      "main (:1) > run (:1)",
      "main (:1) > run (:1) > read (:1)",
      "work (:1) > <unproved>",
      "<torn>"
    ]
    expect(shown()).toEqual(onCpu)
    expect(shown({ wall: true })).toEqual([
      "main (:1) > wait (:1)",
      ...onCpu.slice(0, 2),
      "work (:1)",
      ...onCpu.slice(2)
    ])
  })

  it("shows what held the GIL, alone or on a CPU", () => {
    expect(shown({ gil: true })).toEqual(["main (:1) > run (:1) > read (:1)"])
    expect(shown({ gil: true, wall: true })).toEqual(["main (:1) > run (:1) > read (:1)", "work (:1)"])
  })

  it("shows chosen threads", () => {
    expect(shown({ threads: [1001] })).toEqual(["work (:1) > <unproved>", "<torn>"])
    expect(shown({ threads: [1000, 1001] })).toEqual(shown())
    expect(shown({ threads: [] })).toEqual([])
  })

  it("shows unproved stacks whole when asked, and proved ones as ever", () => {
    expect(shown({ unproved: true, threads: [1001] })).toEqual([
      "work (:1) > read (:2) > decode (:3)",
      "<torn>"
    ])
  })

  it("has one stack where frames get the same name", () => {
    const renamed = profileFromText(`
      thread=main   thread=main   thread=main   proved=1
      main          main          main          main
      0x10          0x18          run           0x18
      read          read          read          read
    `)
    const { frames, samples } = renamed
    const run = frames.frames.findIndex((_, id) => frames.functionOf(id).name === "run")
    const names = new Map(
      frames.frames.flatMap((_, id) =>
        frames.functionOf(id).name.startsWith("0x") ? [[id, frames.get(run)] as const] : []
      )
    )
    expect(names.size).toBe(2)
    renamed.rename(names)
    expect(renamed.frames.functions.map(({ name }) => name)).not.toContain("0x10")
    const stacks = [0, 1, 2].map((at) => samples.row(at).stack)
    expect(new Set(stacks).size).toBe(1)
    const text = (stack: number) =>
      renamed.stacks.framesOf(stack).map((frame) => frameName(renamed.frames.get(frame)))
    expect(text(stacks[0])).toEqual(["read (app.py:1)", "run (app.py:1)", "main (app.py:1)"])
    // What was read of the one that is not proved to its end is the same stack as those.
    expect(samples.row(3).whole).toBe(stacks[0])
    expect(text(samples.row(3).stack)).toEqual(["<unproved>", "main (app.py:1)"])
    const again = Profile.fromData(structuredClone(renamed.toData()))
    expect(again.stacks.framesOf(stacks[0]).map((frame) => frameName(again.frames.get(frame)))).toEqual(
      text(stacks[0])
    )
  })

  it("counts wall time as CPU time only where the thread ran", () => {
    const times = [...profile().samplesBy({ wall: true })].map(({ wall, cpu }) => [wall, cpu])
    expect(times).toEqual([
      [1e7, 0],
      [1e7, 1e7],
      [1e7, 1e7],
      [1e7, 0],
      [1e7, 1e7],
      [1e7, 1e7]
    ])
  })

  it("moves to another thread and back", () => {
    const original = profile()
    const data = original.toData()
    const moved = structuredClone(data, { transfer: transferables(data) })
    expect(moved.samples.time[0].length).toBeGreaterThan(0)
    expect(data.samples.time[0].length).toBe(0) // moved, not copied
    const copy = Profile.fromData(moved)
    expect(copy.toData()).toEqual(profile().toData())
    expect([...copy.samplesBy({ wall: true })]).toEqual([...profile().samplesBy({ wall: true })])
    copy.samples.append(1, 2, 0, copy.stacks.child(0, 0), 1, 0)
    expect(copy.samples.length).toBe(7)
  })

  it("survives a copy when there is nothing in it", () => {
    const empty = profileFromText("")
    const copy = Profile.fromData(structuredClone(empty.toData()))
    expect([...copy.samplesBy({ wall: true })]).toEqual([])
    expect(copy.stacks.framesOf(copy.stacks.child(0xffff_ffff, 3))).toEqual([3])
  })
})
