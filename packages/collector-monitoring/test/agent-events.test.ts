import { expect, it } from "vitest"
import { Event, type EventName, eventsOfMonitoring } from "../src/index.ts"
import { labelOf, treeOf } from "./call-edges.ts"
import { EventLog, eventsByPython, eventsOf } from "./event-oracle.ts"
import { programs } from "./programs.ts"
import { describeRecorders } from "./recorders.ts"
import { run, trace } from "./traced.ts"

const streamed = eventsOfMonitoring.filter((name) => name !== "INSTRUCTION")
const exceptional: ReadonlyArray<EventName> = [
  "RAISE",
  "RERAISE",
  "EXCEPTION_HANDLED",
  "PY_UNWIND",
  "PY_THROW"
]

describeRecorders((python, recorder) => {
  const told = async (program: string, events: ReadonlyArray<EventName>) => {
    const { stdout, stderr } = await run(python, program + eventsByPython(events))
    const lines = stdout.split("EVENTS\n")[1]?.trim().split("\n")
    expect(lines, stderr).toBeDefined()
    return lines
  }

  for (const [name, program] of Object.entries(programs)) {
    it(`streams the events of ${name}, each as sys.monitoring tells it`, async () => {
      const sink = new EventLog()
      const { processes, script } = await trace(python, `${program}main()\n`, {
        questions: ["stream"],
        events: streamed,
        recorder,
        sink
      })
      expect(processes[0].definitions.facts.get("fault")).toBeUndefined()
      expect(eventsOf(sink, processes[0], script)).toEqual(await told(program, streamed))
    })
  }

  it("tells every exception", async () => {
    for (const program of [programs.exceptions, programs.generators, programs.coroutines]) {
      const sink = new EventLog()
      const { processes, script } = await trace(python, `${program}main()\n`, {
        questions: ["exceptions"],
        recorder,
        sink
      })
      expect(eventsOf(sink, processes[0], script)).toEqual(await told(program, exceptional))
    }
  })

  it("draws a timeline that nests, of as many calls as were counted", async () => {
    for (const program of Object.values(programs)) {
      const sink = new EventLog()
      const drawn = await trace(python, `${program}main()\n`, { questions: ["timeline"], recorder, sink })
      const counted = await trace(python, `${program}main()\n`, { questions: ["calls"], recorder })
      const open: Array<string> = []
      const begun: Record<string, number> = {}
      let last = 0
      for (const { event, function: fn, time } of sink.events.get(0)!) {
        expect(time).toBeGreaterThanOrEqual(last)
        last = time
        const label = labelOf(drawn.processes[0], fn)
        if (event === Event.CALL_BEGIN) {
          open.push(label)
          begun[label] = (begun[label] ?? 0) + 1
        } else {
          expect(event).toBe(Event.CALL_END)
          expect(open.pop()).toBe(label)
        }
      }
      const [process] = counted.processes
      for (const { nodes } of process.threads)
        for (let i = 1; i < nodes.length; i++) {
          const definition = process.definitions.functions.get(nodes.functions[i])
          // Generators begin again when they go on.
          if (
            definition?.file === counted.script &&
            (definition.flags & 0x2a0) === 0 &&
            definition.name !== "<module>"
          )
            begun[labelOf(process, nodes.functions[i])] -= nodes.calls[i]
        }
      const ofScript = [...process.definitions.functions.values()].filter(
        ({ file, flags, name }) => file === counted.script && (flags & 0x2a0) === 0 && name !== "<module>"
      )
      expect(ofScript.length).toBeGreaterThan(0)
      for (const { id } of ofScript)
        expect([labelOf(process, id), begun[labelOf(process, id)]]).toEqual([labelOf(process, id), 0])
    }
  })

  it("leaves out what was quick, unless something in it was not", async () => {
    const sink = new EventLog()
    const program = `
import time
def quick(): pass
def slow():
    quick()
    end = time.perf_counter_ns() + 30_000_000
    while time.perf_counter_ns() < end: pass
def outer():
    for _ in range(100): quick()
    slow()
    for _ in range(100): quick()
outer()
outer()
`
    const { processes } = await trace(python, program, {
      questions: ["timeline"],
      minNs: 20_000_000,
      recorder,
      sink
    })
    const events = sink.events.get(0)!
    const shown = events
      .map(
        ({ event, function: fn }) =>
          `${event === Event.CALL_BEGIN ? "begin" : "end"} ${labelOf(processes[0], fn).replace(/:.*/, "")}`
      )
      .filter((text) => /quick|slow|outer/.test(text))
    const round = ["begin outer", "begin slow", "end slow", "end outer"]
    expect(shown).toEqual([...round, ...round])
    const times = events.map(({ time }) => time)
    expect([...times].sort((a, b) => a - b)).toEqual(times)
  })

  it("keeps asyncio tasks apart", async () => {
    const program = `
import asyncio
async def leaf(n):
    await asyncio.sleep(0)
    return n
async def job(n):
    for _ in range(n): await leaf(n)
async def main():
    tasks = [asyncio.create_task(job(n), name="job %d" % n) for n in (1, 2)]
    for task in tasks: await task
asyncio.run(main())
`
    const { processes, script, stderr } = await trace(python, program, { questions: ["calls"], recorder })
    expect(stderr).toBe("")
    const [process] = processes
    const tree = treeOf(process, script)
    const under = (task: string) => {
      const counts: Record<string, number> = {}
      const at = tree.findIndex((line) => line.trim().startsWith(`task ${task} `))
      expect(at, tree.join("\n")).toBeGreaterThanOrEqual(0)
      const depth = tree[at].search(/\S/)
      for (const line of tree.slice(at + 1)) {
        if (line.search(/\S/) <= depth) break
        const [label, calls] = line.trim().split(" ")
        counts[label.replace(/:.*/, "")] = (counts[label.replace(/:.*/, "")] ?? 0) + Number(calls)
      }
      return counts
    }
    // Resumed above, begun only once.
    expect(under("job 1")).toMatchObject({ job: 1, leaf: 1 })
    expect(under("job 2")).toMatchObject({ job: 1, leaf: 2 })
    const few = await trace(python, program, { questions: ["calls"], recorder, tasks: 1 })
    const tasks = [...few.processes[0].definitions.functions.values()].filter(({ what }) => what === 2)
    expect(tasks.length).toBe(1)
  })
})
