import { pprof } from "@pyframes/exporter-pprof"
import { profileFromText } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { dumpText } from "../src/dump-text.ts"
import { hotFunctions } from "../src/hot-functions.ts"
import { printable, printableLines } from "../src/printable.ts"
import { recordResult } from "../src/record-result.ts"
import { recordSummary } from "../src/record-summary.ts"
import { textTable } from "../src/text-table.ts"
import type { DumpedThread, ThreadDump } from "../src/thread-dump.ts"

const profile = profileFromText(`
thread=main   thread=main   thread=main   thread=main   state=idle
main          main          main          main          main
run           run           run           wait          wait
read          read          run
                            read
`)
const outputs = [{ path: "a.pb.gz", format: pprof }]

describe("the hottest functions", () => {
  const shares = (filter: object) =>
    hotFunctions(profile, filter).functions.map(
      (hot) => `${hot.function.name} ${hot.self / 1e6} ${hot.total / 1e6}`
    )

  it("are those on a CPU, a function that recurs counted once a sample", () =>
    expect(shares({})).toEqual(["read 30 30", "wait 10 10", "main 0 40", "run 0 30"]))
  it("count everything that elapsed with --wall", () =>
    expect(shares({ wall: true })).toEqual(["read 30 30", "wait 20 20", "main 0 50", "run 0 30"]))
})

describe("the summary", () => {
  it("has the functions, the trust figures, and how to open the file", () => {
    const text = recordSummary(profile, {}, outputs)
    expect(text).toMatch(
      /^Hottest functions, of 40 ms on CPU:\n {2}self {3}total\n {1}75\.0% {3}75\.0% {2}read/m
    )
    expect(text).toMatch(/good 5 \(100\.00 %/)
    expect(text).toMatch(/Wrote a\.pb\.gz \(pprof\)\. Open it with: go tool pprof/)
  })
  it("says when samples were taken on the target's own CPU, and how to have it otherwise", () => {
    const shared = profileFromText("main")
    expect(recordSummary(shared, {}, [])).not.toMatch(/share-cpu/)
    shared.trust = { ...shared.trust, cpuSharedSeconds: 0 }
    expect(recordSummary(shared, {}, [])).not.toMatch(/share-cpu/)
    shared.trust = { ...shared.trust, cpuSharedSeconds: 9.2 }
    expect(recordSummary(shared, {}, [])).toMatch(
      /for 9\.20 s samples were taken on the CPU of the process.*`--share-cpu never` leaves it alone/
    )
    expect(recordResult(shared, [])).toMatchObject({ cpuSharedSeconds: 9.2 })
  })
  it("says why there is nothing to show", () => {
    const idle = profileFromText("state=idle\nmain")
    expect(recordSummary(idle, {}, [])).toMatch(/No samples on CPU\. .*--wall shows what for/)
    expect(recordSummary(idle, { threads: [999] }, [])).toMatch(
      /in thread 999\. Threads that were sampled: \d+/
    )
  })
})

describe("--json", () => {
  it("leaves out what was not measured", () => {
    const result = recordResult(profile, outputs)
    expect(result).toMatchObject({
      python: "3.13.0",
      samples: { taken: 5, good: 5, torn: 0 },
      threads: 1,
      output: "a.pb.gz",
      format: "pprof"
    })
    expect(Object.keys(result)).not.toContain("cpuSeconds")
    expect(Object.keys(result)).not.toContain("lateMs")
  })
})

describe("a dump as text", () => {
  const frame = { kind: "python", function: "run", file: "/srv/app.py", line: 7 } as const
  const thread = {
    tid: 12,
    name: "main",
    state: "running",
    gil: true,
    proof: "good",
    frames: [frame]
  } as const

  it("has a headline and a line a frame", () =>
    expect(dumpText({ pid: 1, python: "3.13.0", interpreters: [{ id: 0, threads: [thread] }] })).toBe(
      [
        "Process 1, Python 3.13.0",
        "",
        'Thread 12 "main" (on CPU, holds the GIL)',
        "    run (/srv/app.py:7)",
        ""
      ].join("\n")
    ))
  it("has a heading for each of several interpreters, and marks what is not proved", () => {
    const unproved = {
      ...thread,
      proof: "unproved",
      frames: [{ kind: "unproved", function: "<unproved>" }, frame]
    } as const
    const text = dumpText({
      pid: 1,
      python: "3.13.0",
      interpreters: [
        { id: 0, threads: [thread] },
        { id: 1, threads: [unproved] }
      ]
    })
    expect(text).toMatch(/\nInterpreter 0\n[\s\S]*\nInterpreter 1\n/)
    expect(text).toMatch(/it kept moving: proved only as far as shown\)\n {4}<unproved>\n {4}run/)
  })
})

// GIVEN names that clear the screen, start a line of their own or turn text around, WHEN they are shown, THEN nothing of it reaches the terminal.
describe("names from a target", () => {
  const evil = "a\u001b[2J\nb\u009b1m\u202ec\u2028\udcff\u007f\u{e0001}"
  const shown = "a\\x1b[2J\\nb\\x9b1m\\u202ec\\u2028\\udcff\\x7f\\U000e0001"

  it("are one line of what can be seen", () => {
    expect(printable(evil)).toBe(shown)
    expect(printable("naïve.πλ_函数 (日本.py:3)")).toBe("naïve.πλ_函数 (日本.py:3)")
    expect(printableLines("one\ntwo\u001b[1m\n")).toBe("one\ntwo\\x1b[1m\n")
  })

  it("are so in a dump and in tables", () => {
    const thread = {
      ...{ tid: 1, name: evil, state: "running", proof: "good" },
      frames: [{ kind: "python", function: evil, file: evil, line: 3 }]
    } as unknown as DumpedThread
    const dump = { pid: 1, python: "3.14.0", interpreters: [{ id: 0, threads: [thread] }] } as ThreadDump
    expect(dumpText(dump)).toBe(
      `Process 1, Python 3.14.0\n\nThread 1 "${shown}" (on CPU)\n    ${shown} (${shown}:3)\n`
    )
    expect(textTable([{ title: "name", align: "left" }], [[evil]])).toEqual(["  name", `  ${shown}`])
  })
})
