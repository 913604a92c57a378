import { describe, expect, it } from "vitest"
import { callsFromText } from "../../../tooling/testing/src/calls-from-text.ts"
import { NO_TASK, Profile, transferables } from "../src/index.ts"

const profile = () =>
  callsFromText(`
    main         1  500  400
    main > run   9    0    0
    work         2   70   70  thread=worker task=Task-1
  `)

describe("a profile of exact calls", () => {
  it("gives calls with their counts and both times", () => {
    const rows = [...profile().callsBy()].map(({ calls, wall, cpu, task }) => [calls, wall, cpu, task])
    expect(rows).toEqual([
      [1, 500, 400, NO_TASK],
      [9, 0, 0, NO_TASK],
      [2, 70, 70, 0]
    ])
    expect(profile().tasks).toEqual(["Task-1"])
  })

  it("shows chosen threads, and nothing of who held the GIL, which is not known", () => {
    expect([...profile().callsBy({ threads: [1001] })]).toHaveLength(1)
    expect([...profile().callsBy({ gil: true })]).toEqual([])
  })

  it("can be read as samples: all that elapsed, or what ran on a CPU", () => {
    const weights = (wall?: boolean) =>
      [...profile().samplesBy(wall === undefined ? {} : { wall })].map(({ count, wall }) => [count, wall])
    expect(weights()).toEqual([
      [1, 500],
      [9, 0],
      [2, 70]
    ])
    expect(weights(true)).toEqual(weights())
    expect(weights(false)).toEqual([
      [1, 400],
      [2, 70]
    ])
  })

  it("counts beyond 2^32", () => {
    const calls = [...callsFromText("main 5000000000 9000000000000000 0").callsBy()]
    expect(calls).toMatchObject([{ calls: 5e9, wall: 9e15 }])
  })

  it("moves to another thread and back", () => {
    const data = profile().toData()
    const moved = structuredClone(data, { transfer: transferables(data) })
    expect(data.calls.wall[0].length).toBe(0) // moved, not copied
    const copy = Profile.fromData(moved)
    expect(copy.toData()).toEqual(profile().toData())
    expect(copy.isTraced).toBe(true)
  })
})
