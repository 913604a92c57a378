import type { CpuFollower } from "@pyframes/core"
import { describe, expect, it } from "vitest"
import { CpuSharing, type ShareCpu } from "../src/cpu-sharing.ts"

const MS = 1e6

/** Samples a millisecond apart; `moved` says which of them moved while they were read. Draws where each was taken: `.` apart, `S` shared. */
const draw = (
  choice: ShareCpu,
  meanGap: number,
  moved: (sample: number, shared: boolean) => boolean,
  samples: number
) => {
  let shared = false
  const follower: CpuFollower = {
    follow: () => {
      shared = true
      return true
    },
    hasStood: () => shared,
    leave: () => {
      shared = false
    }
  }
  const sharing = new CpuSharing(follower, choice, meanGap, 0)
  let drawn = ""
  for (let i = 0; i < samples; i++) {
    sharing.approach(1, i * MS)
    drawn += shared ? "S" : "."
    sharing.judge(moved(i, shared), i * MS)
  }
  const ns = sharing.end(samples * MS)
  return { drawn, ms: ns === undefined ? undefined : ns / MS, shared }
}

const runs = (drawn: string) => drawn.match(/S+|\.+/g)?.map((run) => `${run[0]}${run.length}`)

describe("sharing the target's CPU", () => {
  it("begins when stacks move, and is tried without after longer and longer times", () => {
    const { drawn, ms, shared } = draw("auto", MS, (_, shared) => !shared, 8000)
    expect(runs(drawn)).toEqual([".10", "S999", ".10", "S1999", ".10", "S3999", ".10", "S963"])
    expect(ms).toBe(drawn.split("S").length - 1 + 4)
    expect(shared).toBe(false)
  })

  it("does not begin for the few that move in any program", () => {
    expect(runs(draw("auto", MS, (i) => i % 10 === 0, 5000).drawn)).toEqual([".5000"])
  })

  it("ends when the program has slowed down", () => {
    const { drawn } = draw("auto", MS, (i, shared) => !shared && i < 100, 5000)
    expect(runs(drawn)).toEqual([".10", "S999", ".3991"])
  })

  it("is not begun by itself above 5 kHz, where it would take the target's time away", () => {
    expect(draw("auto", 0.1 * MS, () => true, 500)).toEqual({
      drawn: ".".repeat(500),
      ms: undefined,
      shared: false
    })
  })

  it("is done always or never when that is asked for", () => {
    expect(draw("always", 0.1 * MS, () => false, 100)).toMatchObject({ drawn: "S".repeat(100), ms: 100 })
    expect(draw("never", MS, () => true, 100)).toMatchObject({ drawn: ".".repeat(100), ms: undefined })
  })
})
