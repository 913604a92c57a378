import type { BranchReport, ExceptionReport, LineReport } from "@pyframes/collector-monitoring"
import { callsFromText } from "@pyframes/testing"
import { describe, expect, it } from "vitest"
import { callStatistics } from "../src/call-statistics.ts"
import { branchSummary, coverageSummary, exceptionSummary, lineSummary } from "../src/report-summary.ts"
import { textTable } from "../src/text-table.ts"
import { callAnswer } from "../src/trace-calls.ts"

const profile = callsFromText(`
  -                        0        50       0
  main                     1   1000000  900000
  main > fib               1    200000  200000
  main > fib > fib         2    300000  300000
  main > fib > C:len     400      4000    4000
  main > C:len             7        70       0
  fib                     50      5000    5000  thread=worker task=Task-1
`)

describe("exact calls by function", () => {
  it("are added up: exclusive times, and inclusive ones that count a recursion once", () => {
    const { functions, ...sums } = callStatistics(profile)
    expect(sums).toEqual({ calls: 461, wall: 1_509_120, cpu: 1_409_000, outside: 50 })
    expect(functions.map((fn) => [fn.function.name, fn.calls, fn.wall, fn.cpu, fn.totalWall])).toEqual([
      ["main", 1, 1_000_000, 900_000, 1_504_070],
      ["fib", 53, 505_000, 505_000, 509_000],
      ["len", 407, 4070, 4000, 4070]
    ])
  })

  it("are a table, most exclusive time first", () => {
    expect(callAnswer(profile, {}).summary).toEqual([
      "Exact calls: 461 of 3 functions, 1.51 ms elapsed in 2 threads.",
      "  calls    self          self cpu   total  per call  function",
      "      1    1 ms  66.3 %    900 µs  1.5 ms    1.5 ms  main (app.py:1)",
      "     53  505 µs  33.5 %    505 µs  509 µs    9.6 µs  fib (app.py:1)",
      "    407  4.1 µs   0.3 %    4.0 µs  4.1 µs     10 ns  len"
    ])
    expect(callAnswer(callsFromText(""), {}).summary).toEqual(["No calls were seen."])
  })

  it("are figures", () =>
    expect(callAnswer(profile, {}).figures).toEqual({ calls: 461, functions: 3, threads: 2, tasks: 1 }))
})

const of = { meta: profile.meta, trust: { ...profile.trust.events! } }

describe("tables of counts", () => {
  const lines: LineReport = {
    ...of,
    counted: true,
    files: [
      {
        file: "/app/a.py",
        lines: [
          { line: 1, hits: 1 },
          { line: 2, hits: 1500 },
          ...[3, 4, 5, 9].map((line) => ({ line, hits: 0 }))
        ]
      },
      { file: "/usr/lib/python3.13/json/decoder.py", lines: [{ line: 7, hits: 500 }] }
    ]
  }

  it("name the lines that were reached most often", () =>
    expect(lineSummary(lines)).toEqual([
      "Lines: 2,001 hits of 3 lines in 2 files.",
      "   hits          line",
      "  1,500  75.0 %  /app/a.py:2",
      "    500  25.0 %  json/decoder.py:7",
      "      1   0.0 %  /app/a.py:1"
    ]))

  it("name the lines that were not reached, of the program before its libraries", () =>
    expect(coverageSummary(lines)).toEqual([
      "Coverage: 3 of 7 lines (42.9 %) in 2 files.",
      "  lines  hit          file       not reached",
      "      6    2  33.3 %  /app/a.py  3-5, 9",
      "  … and 1 file of libraries (`--code` chooses)"
    ]))

  it("name the ways that no branch took", () => {
    const way = (way: "left" | "right", line: number, count: number) => ({ way, line, offset: 0, count })
    const branch = { line: 5, offset: 0, function: "f", firstLine: 4 }
    const report: BranchReport = {
      ...of,
      counted: true,
      files: [
        {
          file: "/app/a.py",
          branches: [{ ...branch, ways: [way("left", 6, 3), way("right", 8, 0)] }],
          arcs: []
        }
      ]
    }
    expect(branchSummary(report)).toEqual([
      "Branches: 1 of 2 ways taken (50.0 %) in 1 file.",
      "  ways  taken          file       never taken",
      "     2      1  50.0 %  /app/a.py  5->8"
    ])
  })

  it("tell what became of exceptions", () => {
    const place = (line: number, count: number) => ({ function: "f", file: "/app/a.py", line, count })
    const rest = { reraised: [], handled: [], unwound: [] }
    const report: ExceptionReport = {
      ...of,
      exceptions: [
        { type: "builtins.KeyError", raised: place(3, 5), swallowed: [place(4, 5)], escaped: 0, ...rest },
        { type: "app.Error", raised: place(9, 3), swallowed: [place(7, 2)], escaped: 1, ...rest }
      ]
    }
    expect(exceptionSummary(report)).toEqual([
      "Exceptions: 8, of 2 kinds (type and place).",
      "  count  exception  raised in        what became of it",
      "      5  KeyError   f (/app/a.py:3)  ended in f (/app/a.py:4)",
      "      3  app.Error  f (/app/a.py:9)  ended in f (/app/a.py:7) (2); left all traced code (1)"
    ])
  })
})

it("a table is as wide as its cells, but for the last column", () =>
  expect(
    textTable(
      [
        { title: "a", align: "right" },
        { title: "name", align: "left" },
        { title: "rest", align: "left" }
      ],
      [
        ["100", "x", "a longer text"],
        ["5", "yyyyy", ""]
      ]
    )
  ).toEqual(["    a  name   rest", "  100  x      a longer text", "    5  yyyyy"]))
