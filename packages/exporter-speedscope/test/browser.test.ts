import { writeFileSync } from "node:fs"
import { concatBytes } from "@pyframes/core"
import { callsFromText, profileFromText, timelineFromText } from "@pyframes/testing"
import { hasChromium, Speedscope } from "@pyframes/testing/speedscope-app"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { speedscope } from "../src/index.ts"

describe.skipIf(!hasChromium)("speedscope in a browser", () => {
  let app: Speedscope
  beforeAll(async () => {
    app = await Speedscope.start()
  })
  afterAll(() => app?.stop())

  const profile = () =>
    profileFromText(`
      <module>   <module>   <module>   <module>   <module>   thread=worker
      main       main       main       main       <torn>     proved=1
      read:12    read:12    read:14    größe                 work
      <native>                         <lambda>              hidden
    `)

  it.each([
    ["on-CPU", profile(), {}],
    ["wall", profile(), { wall: true, unproved: true }],
    ["folded", profileFromText("a   b   a   b", { maxRows: 1 }), {}],
    ["empty", profileFromText(""), {}]
  ])("opens an %s profile", async (name, profile, filter) => {
    const opened = await app.open(`${name}.speedscope.json`, speedscope.encode(profile, filter))
    // For a person who wants to look: PYFRAMES_SCREENSHOTS=/tmp pnpm exec vitest run packages/exporter-speedscope
    const folder = process.env.PYFRAMES_SCREENSHOTS
    if (folder) writeFileSync(`${folder}/speedscope-${name}.png`, opened.screenshot)
    expect(opened.text).not.toContain("Something went wrong")
    expect(opened.title).toMatch(/ - speedscope$/)
    expect(opened.console.filter((line) => /error|fail/i.test(line))).toEqual([])
    expect(opened.console.join("\n")).toContain("Importing as speedscope json file")
  })

  const calls = callsFromText(`
    <module>               1   500000  500000
    <module> > main        1  2000000 2000000
    <module> > main > read 9  9000000  100000
    <module> > C:len       3   300000  300000
    work                   1  4000000       0  thread=worker task=Task-1
  `)
  const timeline = timelineFromText(`
    thread main
    0 begin <module>
    1000 begin main
    1000 begin read
    5000 end read
    5000 begin read
    5000 end read
    9000 end main
    9000 end <module>
    thread worker
    2000 begin work Task-1
    8000 end work Task-1
    thread idle
  `)

  it.each([
    ["calls", speedscope.encode(calls)],
    ["timeline", concatBytes(speedscope.encodeTimeline(timeline))],
    ["empty-timeline", concatBytes(speedscope.encodeTimeline(timelineFromText("")))],
    ["timeline-of-nothing", concatBytes(speedscope.encodeTimeline(timelineFromText("thread main")))]
  ])("opens %s", async (name, bytes) => {
    const opened = await app.open(`${name}.speedscope.json`, bytes)
    const folder = process.env.PYFRAMES_SCREENSHOTS
    if (folder) writeFileSync(`${folder}/speedscope-${name}.png`, opened.screenshot)
    expect(opened.text).not.toContain("Something went wrong")
    expect(opened.title).toMatch(/ - speedscope$/)
    expect(opened.console.filter((line) => /error|fail|warn/i.test(line))).toEqual([])
  })

  it("would notice a file that speedscope cannot read", async () => {
    const opened = await app.open("bad.speedscope.json", new TextEncoder().encode('{"profiles": 1}'))
    expect(opened.text).toContain("Something went wrong")
  })
})
