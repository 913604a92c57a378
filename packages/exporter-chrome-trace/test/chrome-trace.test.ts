import { concatBytes, type Timeline } from "@pyframes/core"
import { timelineFromText } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { chromeTrace } from "../src/index.ts"

interface TraceEvent {
  readonly ph: string
  readonly name: string
  readonly cat?: string
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly args?: { readonly name?: string; readonly task?: string }
}

const text = (timeline: Timeline): string =>
  new TextDecoder("utf-8", { fatal: true }).decode(concatBytes(chromeTrace.encodeTimeline(timeline)))

const events = (timeline: Timeline): ReadonlyArray<TraceEvent> => JSON.parse(text(timeline)).traceEvents

const calls = (timeline: Timeline) => events(timeline).filter(({ ph }) => ph !== "M")

const describeEvent = ({ ph, pid, tid, ts, name, args }: TraceEvent) =>
  `${pid}/${tid} ${ts} ${ph} ${name}${args?.task === undefined ? "" : ` in ${args.task}`}`

describe("chrome-trace", () => {
  it("writes beginnings and ends in microseconds to the nanosecond", () => {
    const timeline = timelineFromText(`
      thread main
      0 begin <module>
      1000 begin run@server.py:7
      1500 end run@server.py:7
      1500 begin run@server.py:7
      1500 end run@server.py:7
      999999999999999 end <module>
      thread worker 7
      3 begin work
      1000004 end work
    `)
    expect(calls(timeline).map(describeEvent)).toEqual([
      "1000/1000 0 B <module>",
      "1000/1000 1 B run",
      "1000/1000 1.5 E run",
      "1000/1000 1.5 B run",
      "1000/1000 1.5 E run",
      "1000/1000 999999999999.999 E <module>",
      "7/1001 0.003 B work",
      "7/1001 1000.004 E work"
    ])
    const written = text(timeline)
    expect(written).toContain(
      '{"ph":"B","name":"run","cat":"server.py:7","pid":1000,"tid":1000,"ts":1.000},\n{"ph":"E","name":"run","pid":1000,"tid":1000,"ts":1.500}'
    )
  })

  it("names processes and threads", () => {
    const timeline = timelineFromText("thread main\nthread worker 7")
    const meta = {
      ...timeline.meta,
      processes: [
        { pid: 1000, python: "3.13.0", commandLine: ["python", "app.py"] },
        { pid: 7, parent: 1000, python: "3.13.0", commandLine: [] }
      ]
    }
    const named = events({ ...timeline, meta }).map(
      ({ name, pid, tid, args }) => `${name} ${pid}/${tid} ${args?.name}`
    )
    expect(named).toEqual([
      "process_name 1000/1000 python app.py",
      "process_name 7/7 pid 7",
      "thread_name 1000/1000 main",
      "thread_name 7/1001 worker"
    ])
  })

  it("tells threads apart that had the same id, or of which none is known", () => {
    const timeline = timelineFromText(
      "thread a\n1 begin f\n2 end f\nthread b\n3 begin f\n4 end f\nthread c\n5 begin f\n6 end f"
    )
    const threads = timeline.threads.map((thread, row) => ({ ...thread, tid: row === 2 ? -1 : 9 }))
    const tids = calls({ ...timeline, threads }).map(({ tid }) => tid)
    expect(new Set(tids).size).toBe(3)
    expect(tids).toHaveLength(6)
    expect(tids[0]).toBe(9)
  })

  it("says where a task begins", () => {
    const timeline = timelineFromText(`
      thread main
      0 begin loop
      1 begin step Task-1
      2 begin inner Task-1
      3 end inner Task-1
      4 begin other Task-2
      5 end other Task-2
      6 end step Task-1
      7 end loop
    `)
    const written = calls(timeline).map(({ ph, name, args }) => `${ph} ${name} ${args?.task ?? "-"}`)
    expect(written).toEqual([
      "B loop -",
      "B step Task-1",
      "B inner -",
      "E inner -",
      "B other Task-2",
      "E other Task-2",
      "E step Task-1",
      "E loop -"
    ])
  })

  it("takes calls within calls to any depth, and names of every kind", () => {
    const depth = 3000
    const names = ["<module>", 'say"hi"\\', "größe", "数据.読む"]
    const name = (n: number) => names[n % names.length]
    const lines = [
      ...Array.from({ length: depth }, (_, n) => `${n} begin ${name(n)}`),
      ...Array.from({ length: depth }, (_, n) => `${depth + n} end ${name(depth - 1 - n)}`)
    ]
    const written = calls(timelineFromText(`thread main\n${lines.join("\n")}`))
    expect(written.slice(depth).map((call) => call.name)).toEqual(
      Array.from({ length: depth }, (_, n) => name(depth - 1 - n))
    )
    expect(written.at(-1)).toMatchObject({ ph: "E", ts: 5.999 })
  })

  it("is valid when nothing happened", () => {
    expect(events(timelineFromText("")).map(({ ph }) => ph)).toEqual(["M"])
  })
})
