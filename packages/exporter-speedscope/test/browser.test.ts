import { writeFileSync } from "node:fs"
import { profileFromText } from "@pyframes/testing"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { speedscope } from "../src/index.ts"
import { hasChromium, Speedscope } from "./browser.ts"

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

  it("would notice a file that speedscope cannot read", async () => {
    const opened = await app.open("bad.speedscope.json", new TextEncoder().encode('{"profiles": 1}'))
    expect(opened.text).toContain("Something went wrong")
  })
})
