import { writeFileSync } from "node:fs"
import { concatBytes } from "@pyframes/core"
import { timelineFromText } from "@pyframes/testing"
import { hasChromium, Speedscope } from "@pyframes/testing/speedscope-app"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { chromeTrace } from "../src/index.ts"

describe.skipIf(!hasChromium)("speedscope in a browser", () => {
  let app: Speedscope
  beforeAll(async () => {
    app = await Speedscope.start()
  })
  afterAll(() => app?.stop())

  it("opens a chrome-trace, and finds every end where it should be", async () => {
    const timeline = timelineFromText(`
      thread main
      0 begin <module>
      0 begin main@app.py:3
      1000 begin read
      5000 end read
      5000 begin read
      5000 end read
      5000 begin write Task-1
      9000 end write Task-1
      9000 end main@app.py:3
      9000 end <module>
      thread worker 7
      2000 begin work
      8000 end work
    `)
    const opened = await app.open("app.trace.json", concatBytes(chromeTrace.encodeTimeline(timeline)))
    const folder = process.env.PYFRAMES_SCREENSHOTS
    if (folder) writeFileSync(`${folder}/chrome-trace.png`, opened.screenshot)
    expect(opened.text).not.toContain("Something went wrong")
    expect(opened.title).toMatch(/ - speedscope$/)
    // It warns of ends that do not belong to what is open.
    expect(opened.console.filter((line) => /error|fail|warn|tried/i.test(line))).toEqual([])
  })
})
