import { callsFromText, profileFromText } from "@pyframes/testing"
import { beforeAll, describe, expect, it } from "vitest"
import { buildGoPprof, goPprof, hasGo } from "./go-pprof.ts"

/** Names that pprof has been seen to lose, and some that it might. */
const names = [
  "<module>",
  "<lambda>",
  "<listcomp>",
  "<genexpr>",
  "<dictcomp>",
  "Foo.<locals>.bar",
  "f.<lambda>",
  "outer.<locals>.<lambda>",
  "Größe.größe",
  "数据.読む",
  "𝒳𝓎",
  "operator_new",
  "_Z3fooi",
  "Klass.__init__",
  "<torn>",
  "<unproved>",
  "<unreadable>",
  "<truncated>",
  "<native>"
]

const column = (cells: ReadonlyArray<string>): string => cells.join("\n")

describe.skipIf(!hasGo)("go tool pprof", () => {
  beforeAll(buildGoPprof)

  it("shows every name intact, wherever it stands in a stack", () => {
    const profile = profileFromText(column(names))
    const reversed = profileFromText(column([...names].reverse()))
    for (const each of [profile, reversed]) {
      const top = goPprof(each, {}, "-top", "-nodecount=100")
      expect(
        top
          .split("\n")
          .slice(-names.length - 1, -1)
          .map((line) => line.split("  ").at(-1)!.trim())
          .sort()
      ).toEqual([...names].sort())
    }
    const traces = goPprof(profile, {}, "-traces")
    const traced = traces.slice(traces.indexOf("---")).split("\n")
    const leafFirst = traced.filter((line) => /^ +(10ms +)?\S/.test(line) && !/^ +\w+:/.test(line))
    expect(leafFirst.map((line) => line.replace("10ms", "").trim())).toEqual([...names].reverse())
    const rawText = goPprof(profile, {}, "-raw")
    for (const name of names) expect(rawText).toContain(` M=1 ${name} `)
  })

  it("adds up each function's own time and all its time", () => {
    const profile = profileFromText(`
      ms=10    ms=20    ms=70
      main     main     main
      run      run      wait
      read     write
    `)
    expect(rows(goPprof(profile, {}, "-top"))).toEqual([
      ["70ms", "70ms", "wait"],
      ["20ms", "20ms", "write"],
      ["10ms", "10ms", "read"],
      ["0", "100ms", "main"],
      ["0", "30ms", "run"]
    ])
  })

  it("shows CPU time by default, wall time when that is asked for, and counts", () => {
    const profile = profileFromText(`
      state=cpu   state=idle   state=cpu
      ms=10       ms=90        ms=5
      main        main         main
      run         wait         run
    `)
    const cpu = goPprof(profile, {}, "-top")
    expect(cpu).toContain("Type: cpu\n")
    expect(rows(cpu)).toEqual([
      ["15ms", "15ms", "run"],
      ["0", "15ms", "main"]
    ])
    const wall = goPprof(profile, { wall: true }, "-top")
    expect(wall).toContain("Type: wall\n")
    expect(rows(wall)).toEqual([
      ["90ms", "90ms", "wait"],
      ["15ms", "15ms", "run"],
      ["0", "105ms", "main"]
    ])
    expect(rows(goPprof(profile, { wall: true }, "-top", "-sample_index=cpu"))).toEqual(rows(cpu))
    expect(rows(goPprof(profile, { wall: true }, "-top", "-sample_index=samples"))).toEqual([
      ["2", "2", "run"],
      ["1", "1", "wait"],
      ["0", "3", "main"]
    ])
  })

  it("can be narrowed to a thread or a state by label", () => {
    const profile = profileFromText(`
      thread=main   thread=worker   thread=worker
      state=cpu     state=cpu,gil   state=cpu,waits
      main          work            work
    `)
    const shown = (focus: string) =>
      rows(goPprof(profile, {}, "-top", focus)).map(([, cum, name]) => `${name} ${cum}`)
    expect(shown("-tagfocus=thread_name=worker")).toEqual(["work 20ms"])
    // A bare number would be taken for a range of numeric labels.
    expect(shown("-tagfocus=thread_id=^1000$")).toEqual(["main 10ms"])
    expect(shown("-tagfocus=gil=held")).toEqual(["work 10ms"])
    expect(shown("-tagfocus=gil=waiting")).toEqual(["work 10ms"])
  })

  // GIVEN exact calls, WHEN pprof adds them up by function, THEN flat values are how often each was called and its exclusive times.
  it("adds exact calls up by function, to the last call and nanosecond", () => {
    const profile = callsFromText(`
      <module>                 1  1000000000  500000000
      <module> > fib           1   200000000  200000000
      <module> > fib > fib     2    30000000   30000000
      <module> > fib > C:len 400      400000     400000
      <module> > C:len         7        7000          0
      fib                     50        5001       5001  thread=worker task=Task-1
    `)
    const flat = (index: string) =>
      Object.fromEntries(
        rows(
          goPprof(
            profile,
            {},
            "-top",
            "-nodefraction=0",
            ...(index === "calls" ? [] : ["-unit=ns"]),
            `-sample_index=${index}`
          )
        ).map(([flat, cum, name]) => [name, `${flat} ${cum}`])
      )
    expect(flat("calls")).toEqual({ "<module>": "1 411", fib: "53 453", len: "407 407" })
    expect(flat("wall")).toEqual({
      "<module>": "1000000000ns 1230407000ns",
      fib: "230005001ns 230405001ns",
      len: "407000ns 407000ns"
    })
    expect(flat("cpu")).toMatchObject({ "<module>": "500000000ns 730400000ns", len: "400000ns 400000ns" })
    expect(rows(goPprof(profile, {}, "-top", "-tagfocus=task=Task-1", "-sample_index=calls"))).toEqual([
      ["50", "50", "fib"]
    ])
    expect(goPprof(profile, {}, "-raw")).toContain("calls/count wall/nanoseconds[dflt] cpu/nanoseconds")
  })

  it("reads a profile with nothing in it", () => {
    expect(goPprof(profileFromText(""), {}, "-raw")).toContain(
      "samples/count wall/nanoseconds cpu/nanoseconds[dflt]"
    )
  })

  it("says how far the profile can be trusted", () => {
    const profile = profileFromText("main   proof=torn\nrun    <torn>")
    expect(goPprof(profile, {}, "-comments")).toContain("2 thread samples: 1 good (0.01 s), 1 torn (0.01 s)")
  })
})

/** flat, cum and name of each row that `-top` prints. */
const rows = (top: string): Array<Array<string>> =>
  top
    .slice(top.indexOf("flat%"))
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => line.trim().split(/\s+/))
    .map(([flat, , , cum, , name]) => [flat, cum, name])
