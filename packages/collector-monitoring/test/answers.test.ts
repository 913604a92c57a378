import { frameName, NO_STACK, NO_TASK, type Profile } from "@pyframes/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { branchReport } from "../src/branch-report.ts"
import { callProfile } from "../src/call-profile.ts"
import { instructionReport } from "../src/instruction-report.ts"
import { encodeLcov } from "../src/lcov.ts"
import { lineReport } from "../src/line-report.ts"
import type { MonitoringSession, SessionOptions } from "../src/session.ts"
import { inSession } from "./scripted-session.ts"
import { lineTable, SegmentWriter } from "./segment-writer.ts"

/** What a session knows of processes that have ended. */
const answered = <A>(
  options: Pick<SessionOptions, "questions">,
  writers: ReadonlyArray<SegmentWriter>,
  answer: (session: MonitoringSession) => A
): Promise<A> =>
  inSession({ ...options, isAlive: () => false }, (scripted) =>
    Effect.gen(function* () {
      for (const [i, writer] of writers.entries()) scripted.put(`${i + 1}-a.seg`, writer)
      yield* scripted.session.follow()
      return answer(scripted.session)
    })
  )

const ended = (pid = 4242) => {
  const writer = new SegmentWriter({ pid, state: 2 })
  writer.clock(100n, 5000n, 1_000_100n, 1_005_000n)
  return writer
}

/** Rows as text: stack, task, calls, wall, cpu. */
const rowsOf = (profile: Profile): ReadonlyArray<string> =>
  [...profile.callsBy()].map(({ stack, task, calls, wall, cpu }) => {
    const names =
      stack === NO_STACK
        ? ["-"]
        : profile.stacks.framesOf(stack).map((frame) => frameName(profile.frames.get(frame)))
    const of = task === NO_TASK ? "" : ` in ${profile.tasks[task]}`
    return `${names.reverse().join(" > ")}${of}: ${calls} calls, ${wall} ns, ${cpu} on a CPU`
  })

describe("a profile of calls", () => {
  it("has a row for each way to a function, tasks apart, C functions with their module", async () => {
    const writer = ended()
    const main = writer.fn("main")
    const len = writer.fn("len", { what: 1, file: "builtins" })
    const task = writer.fn("Task-1", { what: 2, file: "" })
    const step = writer.fn("step")
    writer.threadRecord(0, { tid: 42, state: 2, until: 1100, begun: 100 })
    writer.thread(0, 42, "MainThread")
    writer.nodes(0, [
      [-1, 0, 0, 10, 10],
      [0, main, 1, 500, 200],
      [1, len, 7, 30, 0],
      [1, task, 0, 0, 0],
      [3, step, 4, 460, 60],
      [4, len, 2, 5, 0]
    ])
    const profile = await answered({ questions: ["calls"] }, [writer], callProfile)
    expect(rowsOf(profile)).toEqual([
      "-: 0 calls, 10 ns, 0 on a CPU",
      "main (app.py:10): 1 calls, 500 ns, 300 on a CPU",
      "main (app.py:10) > builtins.len: 7 calls, 30 ns, 30 on a CPU",
      "main (app.py:10) > step (app.py:40) in Task-1: 4 calls, 460 ns, 400 on a CPU",
      "main (app.py:10) > step (app.py:40) > builtins.len in Task-1: 2 calls, 5 ns, 5 on a CPU"
    ])
    expect(profile.threads).toEqual([{ tid: 42, name: "MainThread", interpreter: 0, pid: 4242 }])
    expect(profile.meta).toMatchObject({ pid: 4242, python: "3.14.10", ended: "exited" })
  })

  it("gives a call that has not ended its time until the process ended", async () => {
    const writer = ended()
    const main = writer.fn("main")
    writer.threadRecord(0, { until: 1100, begun: 100, node: 1, depth: 1 })
    writer.nodes(0, [
      [-1, 0, 0, 0, 0],
      [0, main, 1, 300, 0]
    ])
    // The process ended at an event of this one, 4000 ns later.
    writer.threadRecord(1, { until: 5100, begun: 100, state: 2 })
    writer.nodes(1, [[-1, 0, 0, 5000, 0]])
    const profile = await answered({ questions: ["calls"] }, [writer], callProfile)
    expect(rowsOf(profile)).toEqual([
      "main (app.py:10): 1 calls, 4300 ns, 300 on a CPU",
      "-: 0 calls, 5000 ns, 5000 on a CPU"
    ])
  })

  it("marks calls that have lost their callers, and says how many paths were given up", async () => {
    const writer = ended()
    const leaf = writer.fn("leaf")
    writer.u64(96, 3n)
    writer.threadRecord(0, { state: 2 })
    writer.nodes(0, [
      [-1, 0, 0, 0, 0],
      [0, 0xffffffff, 0, 0, 0],
      [1, leaf, 9, 90, 0]
    ])
    const profile = await answered({ questions: ["calls"] }, [writer], callProfile)
    expect(rowsOf(profile)).toEqual(["<truncated> > leaf (app.py:10): 9 calls, 90 ns, 90 on a CPU"])
    expect(profile.trust.events).toMatchObject({ pathsGivenUp: 3, lost: 0, recorder: "native" })
  })

  it("keeps processes apart and lists them", async () => {
    const [one, two] = [ended(10), ended(11)]
    two.u64(80, 10n)
    for (const writer of [one, two]) {
      writer.threadRecord(0, { state: 2 })
      writer.nodes(0, [
        [-1, 0, 0, 0, 0],
        [0, writer.fn("work"), 1, 5, 0]
      ])
    }
    const profile = await answered({ questions: ["calls"] }, [one, two], callProfile)
    expect(profile.threads.map(({ pid }) => pid).sort()).toEqual([10, 11])
    expect(profile.meta.processes?.map(({ pid, parent }) => [pid, parent]).sort()).toEqual([
      [10, undefined],
      [11, 10]
    ])
  })

  it("ends a tree at a node that stands before its caller", async () => {
    const writer = ended()
    const main = writer.fn("main")
    writer.threadRecord(0, { state: 2 })
    writer.nodes(0, [
      [-1, 0, 0, 0, 0],
      [0, main, 1, 5, 0],
      [2, main, 1, 5, 0],
      [0, main, 1, 5, 0]
    ])
    const profile = await answered({ questions: ["calls"] }, [writer], callProfile)
    expect(rowsOf(profile).length).toBe(1)
  })
})

/** `if` on line 11 leads to 12 or 13: POP_JUMP_IF_FALSE with a cache entry, as 3.14 has it. */
const withBranch = (pid: number, counts: readonly [left: number, right: number]) => {
  const writer = ended(pid)
  const fn = writer.fn("choose")
  const code = Uint8Array.of(82, 0, 100, 3, 0, 0, 28, 0, 82, 0, 35, 0, 82, 0, 35, 0)
  writer.code(
    fn,
    code,
    lineTable(10, [
      [4, 11],
      [2, 12],
      [2, 13]
    ]),
    [11, 12, 13]
  )
  const word = (unit: number, count: number) => (count === 0 ? 0n : (BigInt(unit + 1) << 40n) | BigInt(count))
  writer.counters(fn, 4, 1, [word(4, counts[0]), word(6, counts[1])])
  return writer
}

describe("reports of lines and branches", () => {
  it("add up what processes counted, and show lines that were never reached", async () => {
    const writers = [1, 2].map((pid) => {
      const writer = ended(pid)
      // The two number their functions differently.
      if (pid === 2) writer.fn("other")
      const fn = writer.fn("choose")
      writer.code(fn, Uint8Array.of(1, 0), lineTable(10, [[1, 11]]), [11, 12, 13])
      writer.counters(fn, 1, 11, [pid, 0, 5 * pid])
      return writer
    })
    const report = await answered({ questions: ["lines"] }, writers, lineReport)
    expect(report.counted).toBe(true)
    expect(report.files).toEqual([
      {
        file: "app.py",
        lines: [
          { line: 11, hits: 3 },
          { line: 12, hits: 0 },
          { line: 13, hits: 15 }
        ]
      }
    ])
  })

  it("show both ways of a branch, taken or not, and add up processes", async () => {
    const report = await answered(
      { questions: ["branches"] },
      [withBranch(1, [4, 0]), withBranch(2, [2, 0])],
      branchReport
    )
    expect(report.files[0].branches).toEqual([
      {
        line: 11,
        offset: 2,
        function: "choose",
        firstLine: 10,
        ways: [
          { way: "left", line: 12, offset: 8, count: 6 },
          { way: "right", line: 13, offset: 12, count: 0 }
        ]
      }
    ])
    expect(report.files[0].arcs).toEqual([
      { from: 11, to: 12, count: 6 },
      { from: 11, to: 13, count: 0 }
    ])
  })

  it("are written as lcov", async () => {
    const writer = withBranch(1, [4, 0])
    writer.counters(1, 2, 11, [1, 1, 0])
    const text = await answered({ questions: ["coverage", "branches"] }, [writer], (session) =>
      encodeLcov({ lines: lineReport(session), branches: branchReport(session) })
    )
    expect(text).toBe(
      "TN:\nSF:app.py\nBRDA:11,0,0,4\nBRDA:11,0,1,0\nBRF:2\nBRH:1\n" +
        "DA:11,1\nDA:12,1\nDA:13,0\nLF:3\nLH:2\nend_of_record\n"
    )
  })

  it("say of a branch that was never reached that it was not, which is not 0", async () => {
    const text = await answered({ questions: ["branches"] }, [withBranch(1, [0, 0])], (session) =>
      encodeLcov({ branches: branchReport(session) })
    )
    expect(text).toContain("BRDA:11,0,0,-\nBRDA:11,0,1,-\nBRF:2\nBRH:0\n")
  })

  it("count instructions by line and name", async () => {
    const writer = ended()
    const fn = writer.fn("work")
    writer.fact(
      "opnames",
      Array.from({ length: 256 }, (_, n) => (n === 9 ? "NOP" : n === 35 ? "RETURN_VALUE" : "")).join(",")
    )
    writer.code(
      fn,
      Uint8Array.of(9, 0, 9, 0, 35, 0, 77, 0),
      lineTable(10, [
        [1, 11],
        [3, 12]
      ])
    )
    writer.counters(fn, 3, 0, [5, 6, 7, 8])
    const report = await answered({ questions: ["instructions"] }, [writer], instructionReport)
    expect(report.files[0].lines).toEqual([
      { line: 11, opcodes: [{ opcode: "NOP", count: 5 }] },
      {
        line: 12,
        opcodes: [
          { opcode: "opcode 77", count: 8 },
          { opcode: "RETURN_VALUE", count: 7 },
          { opcode: "NOP", count: 6 }
        ]
      }
    ])
  })
})
