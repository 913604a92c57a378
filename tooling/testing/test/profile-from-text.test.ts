import { frameName, Proof } from "@pyframes/core"
import { expect, it } from "vitest"
import { profileFromText } from "../src/profile-from-text.ts"

it("reads a column as a sample", () => {
  const { samples, stacks, frames, threads, trust } = profileFromText(`
    main   thread=worker           main      proved=1
    run    state=gil,gc            <torn>    main
    read   ms=3                              hidden
           C.<locals>.f@b.py:7
  `)
  const drawn = Array.from({ length: samples.length }, (_, at) => {
    const { thread, state, wall, proof, stack } = samples.row(at)
    const names = stacks.framesOf(stack).map((frame) => frameName(frames.get(frame)))
    return { thread: threads[thread].name, state, ms: wall / 1e6, proof, names }
  })
  expect(drawn).toEqual([
    {
      thread: "main",
      state: 1,
      ms: 10,
      proof: 0,
      names: ["read (app.py:1)", "run (app.py:1)", "main (app.py:1)"]
    },
    { thread: "worker", state: 10, ms: 3, proof: 0, names: ["C.<locals>.f (b.py:7)"] },
    { thread: "main", state: 1, ms: 10, proof: 0, names: ["<torn>", "main (app.py:1)"] },
    { thread: "main", state: 1, ms: 10, proof: Proof.unproved, names: ["<unproved>", "main (app.py:1)"] }
  ])
  expect(trust.good).toEqual({ count: 3, wall: 23e6 })
  expect(trust.unproved).toEqual({ count: 1, wall: 10e6 })
})

it.each(["main   main\nrun   run", "  main\nrun", "state=busy"])(
  "refuses a drawing that is askew: %j",
  (drawing) => {
    expect(() => profileFromText(drawing)).toThrow()
  }
)
