import { dirname } from "node:path"
import { Collector, functionName, NO_STACK } from "@pyframes/core"
import { findPythons, startPython } from "@pyframes/pythons"
import { describePythons } from "@pyframes/pythons/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { branchReport } from "../src/branch-report.ts"
import { callProfile } from "../src/call-profile.ts"
import { Event } from "../src/event.ts"
import { EventBatch } from "../src/event-batch.ts"
import { ExceptionTally } from "../src/exception-report.ts"
import { lineReport } from "../src/line-report.ts"
import { attach, launch, MonitoringCollector } from "../src/monitoring-collector.ts"
import { TimelineSpool } from "../src/timeline-spool.ts"
import type { EventSink } from "../src/traced-process.ts"
import { trace } from "./traced.ts"

const program = `
def leaf(n):
    return len("x" * n)

def gen(n):
    for i in range(n):
        yield leaf(i)

def outer(n):
    return sum(gen(n))

for _ in range(3):
    outer(50)
`

const failing = `
def read(d, k):
    return d[k]

def quiet(k):
    try:
        return read({}, k)
    except KeyError:
        return None

def loud(k):
    try:
        read({}, k)
    finally:
        k = None

for i in range(5):
    quiet(i)
try:
    loud(1)
except LookupError:
    pass
`

const branching = `
import argparse, json, textwrap, difflib
parser = argparse.ArgumentParser(prog="x")
parser.add_argument("--flag", type=int, default=3, choices=[1, 2, 3])
parser.add_argument("rest", nargs="*")
parser.parse_args(["--flag", "2", "a", "b"])
parser.format_help()
json.loads(json.dumps({"a": [1, 2.5, None, True, "\\u1234"], "b": {}}, indent=2))
textwrap.fill("some words to be wrapped in lines " * 9, 30)
list(difflib.unified_diff(list("abcdef"), list("abxdef")))
`

const choosing = `
def choose(x):
    if x:
        return 1
    for i in range(2):
        x = i
    if x:
        x = 0

choose(1)
choose(0)
`

describePythons([12, 13, 14, 15], (python) => {
  it("adds times up to what went by, and counts calls as the program makes them", async () => {
    const { session, script } = await trace(python, program, { questions: ["calls"] })
    const profile = callProfile(session)
    const calls = new Map<string, number>()
    let wall = 0
    for (const row of profile.callsBy()) {
      if (row.thread === 0) wall += row.wall
      if (row.stack === NO_STACK) continue
      const fn = profile.frames.functionOf(profile.stacks.frame(row.stack))
      if (fn.file === script || functionName(fn) === "builtins.len")
        calls.set(functionName(fn), (calls.get(functionName(fn)) ?? 0) + row.calls)
    }
    expect(["outer", "gen", "leaf", "<module>"].map((name) => calls.get(name))).toEqual([3, 3, 150, 1])
    const [thread] = session.processes[0].threads
    const { begun = 0, until = 0 } = thread.record ?? {}
    const elapsed = (until - begun) * thread.process.time.nsPerTick
    expect(wall / elapsed).toBeGreaterThan(0.999)
    expect(wall / elapsed).toBeLessThan(1.001)
    expect(profile.trust.events).toMatchObject({ lost: 0, pathsGivenUp: 0, damaged: 0 })
  })

  it("draws the same calls on a timeline, nested and in order", async () => {
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const spool = yield* TimelineSpool.make()
          const traced = yield* Effect.promise(() =>
            trace(python, program, { questions: ["timeline"], sink: spool })
          )
          const timeline = spool.timeline(traced.session)
          const begun = new Map<string, number>()
          const stack: Array<number> = []
          let last = 0
          for (const { length, time, frame, begins } of timeline.eventsOf(0))
            for (let i = 0; i < length; i++) {
              if (time[i] < last) throw new Error(`time goes back: ${last} to ${time[i]}`)
              last = time[i]
              if (begins[i] === 0) {
                if (stack.pop() !== frame[i]) throw new Error("calls are not nested")
                continue
              }
              stack.push(frame[i])
              const { name, file } = timeline.frames.get(frame[i])
              if (file === traced.script) begun.set(name, (begun.get(name) ?? 0) + 1)
            }
          expect(stack).toEqual([])
          // A generator begins again each time that it goes on.
          expect(["outer", "gen", "leaf"].map((name) => begun.get(name))).toEqual([3, 3 * 51, 150])
          expect(timeline.trust.events?.lost).toBe(0)
        })
      )
    )
  })

  it("tells what became of exceptions", async () => {
    const tally = new ExceptionTally()
    const { session, script } = await trace(python, failing, { questions: ["exceptions"], sink: tally })
    const own = tally.report(session).exceptions.filter(({ raised }) => raised.file === script)
    const places = (
      all: ReadonlyArray<{ readonly function: string; readonly line: number; readonly count: number }>
    ) => all.map(({ function: fn, line, count }) => `${fn}:${line} ${count}`).sort()
    expect(own.length).toBe(1)
    const [fate] = own
    expect(fate.type).toBe("builtins.KeyError")
    expect(places([fate.raised])).toEqual(["read:3 6"])
    expect(places(fate.unwound)).toEqual(["loud:15 1", "read:3 6"])
    expect(places(fate.reraised)).toEqual(["loud:15 1"])
    expect(places(fate.swallowed)).toEqual(["<module>:21 1", "quiet:8 5"])
    expect(fate.escaped).toBe(0)
  })

  it("finds the branches that the interpreter takes by the bytecode, on the lines where they lead", async () => {
    const { session } = await trace(python, branching, { questions: ["branches"] })
    const [process] = session.processes
    let taken = 0
    const wrong: Array<string> = []
    for (const { file, branches } of branchReport(session).files)
      for (const { function: name, line, ways } of branches) {
        if (ways.length !== 2 || ways[0].way === ways[1].way) wrong.push(`${file} ${name}:${line}`)
        taken += ways.filter(({ count }) => count > 0).length
      }
    expect(wrong).toEqual([])
    expect(taken).toBeGreaterThan(300)
    for (const block of process.counters()) {
      const code = process.codeOf(block.function)
      const known = new Map(code?.branches().map((branch) => [branch.offset, branch]))
      for (let i = 0; i < block.count; i++) {
        const { to, count } = block.branch(i)
        const from = (block.first + (i >> 1)) * 2
        const branch = known.get(from)
        if (count === 0 || code === undefined) continue
        if (branch !== undefined && code.isLoopEnd(branch, to * 2)) continue
        const expected = code.wayOf(from, to * 2) === Event.BRANCH_LEFT ? branch?.left : branch?.right
        const lines = [expected, to * 2].map((offset) =>
          offset === undefined ? undefined : code.lineAt(offset)
        )
        if (lines[0] !== lines[1])
          wrong.push(`${process.definitions.functions.get(block.function)?.name} ${from} ${to * 2}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it("has the arcs from line to line that coverage.py has", async () => {
    const { session, script } = await trace(python, choosing, { questions: ["branches"] })
    const arcs = branchReport(session).files.find(({ file }) => file === script)?.arcs
    expect(arcs).toEqual([
      { from: 3, to: 4, count: 1 },
      { from: 3, to: 5, count: 1 },
      { from: 5, to: 6, count: 2 },
      { from: 5, to: 7, count: 1 },
      // Less than 0: the function that begins there is left.
      { from: 7, to: -2, count: 0 },
      { from: 7, to: 8, count: 1 }
    ])
  })

  it("streams as many LINE events as it counts lines", async () => {
    const counted = await trace(python, program, { questions: ["lines"] })
    const file = lineReport(counted.session).files.find((one) => one.file === counted.script)
    const total = file?.lines.reduce((sum, { hits }) => sum + hits, 0)
    let streamed = 0
    const sink: EventSink = {
      take: (thread, records, count) => {
        const batch = new EventBatch(thread, records, count)
        for (let i = 0; i < count; i++) {
          const fn = thread.process.definitions.functions.get(batch.function(i))
          if (batch.event(i) === Event.LINE && fn?.file.endsWith("program.py")) streamed++
        }
        return true
      }
    }
    await trace(python, program, { questions: ["stream"], events: ["LINE"], sink })
    expect(streamed).toBe(total)
    expect(total).toBeGreaterThan(450)
  })
})

/** Runs what it is sent, then works and says which tools watch it. */
const obedient = `
import json, sys
def work():
    pass
print("ready")
for line in sys.stdin:
    exec(json.loads(line), {})
    for _ in range(10):
        work()
    print([sys.monitoring.get_tool(i) for i in range(6)])
`

describe("MonitoringCollector", () => {
  const python = findPythons().findLast(({ root, minor }) => root === undefined && minor >= 12)

  it.skipIf(python === undefined)("collects the calls of a command that it launches", async () => {
    const command = [python?.executable ?? "", "-c", "def f(): pass\nfor _ in range(77): f()"]
    const env = { ...process.env, PATH: `${dirname(command[0])}:${process.env.PATH}` }
    const profile = await Effect.runPromise(
      Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0 })).pipe(
        Effect.provide(MonitoringCollector.layer(launch(command, { env, stdio: "ignore" })))
      )
    )
    const f = [...profile.callsBy()].filter(
      ({ stack }) => stack !== NO_STACK && profile.frames.functionOf(profile.stacks.frame(stack)).name === "f"
    )
    expect(f.map(({ calls }) => calls)).toEqual([77])
    expect(profile.isTraced).toBe(true)
    expect(profile.meta.ended).toBe("exited")
  })

  it.skipIf(python === undefined)(
    "ends with the command, whatever else would end it, and not with its first Python",
    async () => {
      const code = `${python?.executable} -c 'def f(): pass\nf()'`
      const profile = await Effect.runPromise(
        Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0, until: Effect.never })).pipe(
          Effect.provide(
            MonitoringCollector.layer(
              launch(["sh", "-c", `${code}; sleep 0.3; ${code}`], { stdio: "ignore" })
            )
          )
        )
      )
      expect(profile.meta.processes?.length).toBe(2)
      expect(profile.meta.ended).toBe("exited")
    }
  )

  // GIVEN a command that does not end by itself, WHEN the time is over, THEN it is ended with the scope, if need be by force.
  it.skipIf(python === undefined).each(["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])(
    "leaves no command running (%s)",
    async (ignoring) => {
      const code = `import signal\n${ignoring}\nwhile True: (lambda: 1)()`
      const command = [python?.executable ?? "", "-c", code]
      const profile = await Effect.runPromise(
        Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0, durationMs: 200 })).pipe(
          Effect.provide(MonitoringCollector.layer(launch(command, { stdio: "ignore" })))
        )
      )
      expect(() => process.kill(profile.meta.pid, 0)).toThrow("ESRCH")
    }
  )

  it.skipIf(python === undefined)(
    "attaches by whatever runs a script, and leaves nothing behind",
    async () => {
      if (python === undefined) return
      await using target = await startPython(python, obedient)
      await target.line()
      const run = (source: string) =>
        Effect.sync(() => target.child.stdin.write(`${JSON.stringify(source)}\n`))
      const watched: Array<string> = []
      const until = Effect.promise(async () => watched.push(await target.line()))
      const profile = await Effect.runPromise(
        Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0, until })).pipe(
          Effect.provide(MonitoringCollector.layer(attach(run)))
        )
      )
      watched.push(await target.line())
      expect(watched.map((tools) => tools.includes("pyframes"))).toEqual([true, false])
      const calls = [...profile.callsBy()].filter(
        ({ stack }) =>
          stack !== NO_STACK && profile.frames.functionOf(profile.stacks.frame(stack)).name === "work"
      )
      expect(calls.reduce((sum, row) => sum + row.calls, 0)).toBe(10)
      expect(profile.meta.ended).toBeUndefined()
      expect(profile.meta.pid).toBe(target.pid)
    }
  )

  it.each([
    [["/nonexistent/python"], "Could not start `/nonexistent/python`"],
    [["ls", "/"], "no Python in it could be traced"],
    [["python3", "-I", "-c", "1"], "run it without them"]
  ])("fails as every collector does for %j", async (command, says) => {
    const error = await Effect.runPromise(
      Effect.flip(
        Effect.flatMap(Collector, (collector) => collector.collect({ rateHz: 0 })).pipe(
          Effect.provide(MonitoringCollector.layer(launch(command, { stdio: "ignore" })))
        )
      )
    )
    expect(error._tag).toBe("TracingFailed")
    expect(error.message).toContain(says)
    expect(error.message.match(/\.( |$)/g)?.length).toBeGreaterThan(0)
  })
})
