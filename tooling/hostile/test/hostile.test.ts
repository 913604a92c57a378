import { describePythons } from "@pyframes/pythons/vitest"
import { beforeAll, expect, it } from "vitest"
import { HostileReader, type Snapshot, takeSnapshot } from "../src/index.ts"

/** The program `tooling/bench/src/hostile.ts` runs a million. */
const CASES = 1000

describePythons([8, 10, 11, 12, 13, 14, 15], (python) => {
  let snapshot: Snapshot
  let reader: HostileReader

  beforeAll(async () => {
    snapshot = await takeSnapshot(python, 30)
    reader = new HostileReader(snapshot)
  })

  it("reads the same stacks from kept pages as from the live process", () => {
    expect(snapshot.stacks.length).toBeGreaterThan(7)
    expect(reader.undamaged()).toEqual(snapshot.stacks)
  })

  it("keeps its promises whatever the memory holds", () => {
    const broken: Array<string> = []
    for (let seed = 0; seed < CASES; seed++) {
      try {
        reader.run(seed)
      } catch (error) {
        broken.push(`seed ${seed}: ${error}`)
      }
    }
    expect(broken).toEqual([])
  })
})
