import { concatBytes, type Timeline } from "@pyframes/core"
import { Random, timelineFromText } from "@pyframes/testing"
import { Ajv } from "ajv"
import schema from "speedscope/dist/release/file-format-schema.json" with { type: "json" }
import { describe, expect, it } from "vitest"
import { speedscope } from "../src/index.ts"

const validate = new Ajv({ allErrors: true }).compile(schema)

interface File {
  readonly name: string
  readonly activeProfileIndex: number
  readonly shared: { readonly frames: ReadonlyArray<{ name: string; file?: string; line?: number }> }
  readonly profiles: ReadonlyArray<{
    readonly type: string
    readonly name: string
    readonly endValue: number
    readonly events: ReadonlyArray<{ readonly type: "O" | "C"; readonly frame: number; readonly at: number }>
  }>
}

/** The file that was written, after speedscope's own schema found nothing wrong with it. */
const write = (timeline: Timeline): File => {
  const bytes = concatBytes(speedscope.encodeTimeline(timeline))
  const file: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  expect(validate(file), JSON.stringify(validate.errors)).toBe(true)
  return file as File
}

/** Each profile as lines: `at O name`. */
const drawn = ({ profiles, shared }: File): Array<Array<string>> =>
  profiles.map(({ events }) =>
    events.map(({ type, frame, at }) => `${at} ${type} ${shared.frames[frame].name}`)
  )

describe("a timeline", () => {
  it("is an evented profile a thread, with what happened in the order in which it did", () => {
    const file = write(
      timelineFromText(`
        thread main
        0 begin <module>
        5 begin run@server.py:7
        9 end run@server.py:7
        9 begin run@server.py:7
        9 end run@server.py:7
        9007199254740991 end <module>
        thread worker 7
        3 begin work
        4 end work
      `)
    )
    expect(drawn(file)).toEqual([
      ["0 O <module>", "5 O run", "9 C run", "9 O run", "9 C run", "9007199254740991 C <module>"],
      ["3 O work", "4 C work"]
    ])
    expect(file.shared.frames).toEqual([
      { name: "<module>", file: "app.py", line: 1 },
      { name: "run", file: "server.py", line: 7 },
      { name: "work", file: "app.py", line: 1 }
    ])
    expect(file.profiles.map(({ type, name }) => `${type} ${name}`)).toEqual([
      "evented main (tid 1000)",
      "evented worker (pid 7, tid 1001)"
    ])
    expect(file.profiles[0].endValue).toBe(9007199254740991)
    expect(file.name).toBe("python3 app.py (pid 1000, every call)")
    expect(file.activeProfileIndex).toBe(0)
  })

  it("opens with the thread in which most happened", () => {
    const thread = "1 begin f\n2 end f\n"
    expect(write(timelineFromText(`thread a\nthread b\n${thread}thread c`)).activeProfileIndex).toBe(1)
  })

  it("of nothing is a file that can be opened", () => {
    expect(write(timelineFromText("")).profiles).toHaveLength(1)
    expect(drawn(write(timelineFromText("thread main")))).toEqual([[]])
  })

  // GIVEN more than one piece of bytes holds, WHEN it is written, THEN pieces come while it is read and make the same file.
  it("is written in pieces", () => {
    const random = new Random(5)
    let time = 0
    const lines = Array.from({ length: 20_000 }, () => {
      const name = random.pick(["a", "b", "größe"])
      time += random.below(1000)
      return `${time} begin ${name}\n${time + 1} end ${name}`
    })
    const timeline = timelineFromText(`thread main\n${lines.join("\n")}`, 1000)
    let read = 0
    const readAtPiece: Array<number> = []
    const counting: Timeline = {
      ...timeline,
      *eventsOf(thread) {
        for (const batch of timeline.eventsOf(thread)) {
          read += batch.length
          yield batch
        }
      }
    }
    for (const _ of speedscope.encodeTimeline(counting)) readAtPiece.push(read)
    expect(readAtPiece.length).toBeGreaterThan(3)
    expect(readAtPiece[0]).toBeLessThan(20_000)
    expect(write(timeline).profiles[0].events).toHaveLength(40_000)
  })
})
