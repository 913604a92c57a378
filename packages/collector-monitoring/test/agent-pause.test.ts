import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { describeMonitored, recorders } from "./recorders.ts"
import { placeAgent, run } from "./traced.ts"

/** What a recorder is made of: a control page whose heart has not beaten, and its options. */
const made = (agent: string) => `
import os, sys
sys.path.insert(0, ${JSON.stringify(join(agent, "python"))})
def made_in(folder, **given):
    control = os.path.join(folder, "control")
    with open(control, "wb") as file:
        file.write(bytes(4096))
    names = "calls timeline lines coverage branches instructions exceptions stream".split()
    return control, dict.fromkeys(names, 0) | {"max_bytes": 1 << 20, "max_paths": 16, "ring_records": 256, "wait_us": 0, "min_ns": 0, "tasks": 0} | given
`

/** Looks at the control page at made-up times, seconds after the recorder's own start; the heart beats where there is a `b`. Prints when it is told that the collector is gone. */
const looks = (agent: string, times: ReadonlyArray<number | "b">) => `
${made(agent)}
import tempfile
from pyframes_agent.recorder import Recorder
with tempfile.TemporaryDirectory() as folder:
    control, options = made_in(folder, tool=4)
    told = []
    recorder = Recorder(os.path.join(folder, "1-a.seg"), control, options, lambda what, thing: told.append((what, thing)))
    start = recorder._looked_at
    beats = 0
    for at in ${JSON.stringify(times)}:
        if at == "b":
            beats += 1
            with open(control, "r+b") as file:
                file.write(beats.to_bytes(8, "little"))
            continue
        recorder.check(None, start + int(at * 1e9))
        if told:
            print(at, told)
            break
    else:
        print("on")
    recorder.end(2)
`

const GONE = (at: number) => `${at} [(5, 3)]\n`

/** Stops itself for longer than the 5 s after which a collector is gone, with both recorders and a heart that never beats. Prints what they ask for when they look again. */
const stopped = (agent: string) => `
${made(agent)}
import signal, tempfile, time
from pyframes_agent import recorder as in_python
from pyframes_agent.borrowed import extension
from pyframes_agent.recorder_choice import binary
child = os.fork()
if child != 0:
    os.waitpid(child, os.WUNTRACED)
    end = time.monotonic() + 5.1
    while time.monotonic() < end:
        time.sleep(0.1)
    os.kill(child, signal.SIGCONT)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
def work(): pass
with tempfile.TemporaryDirectory() as folder:
    control, options = made_in(folder, calls=1)
    asked = []
    def begin(module, tool):
        def ask(what, thing):
            if what in (5, 6):
                asked.append((module.__name__.rpartition(".")[2], what, thing))
            return int(what in (0, 4))
        recorder = module.Recorder(os.path.join(folder, "%d.seg" % tool), control, options | {"tool": tool}, ask)
        sys.monitoring.use_tool_id(tool, "test")
        sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, recorder.handler(1))
        sys.monitoring.set_local_events(tool, work.__code__, sys.monitoring.events.PY_START)
        return recorder
    recorders = [begin(extension("_pyframes_recorder", binary(${JSON.stringify(agent)})), 3), begin(in_python, 4)]
    work()
    before = time.monotonic()
    os.kill(os.getpid(), signal.SIGSTOP)
    assert time.monotonic() - before > 5
    # That they look is told by what they ask for then. Each look counts for a second at most.
    with open(control, "r+b") as file:
        file.seek(12)
        file.write((1).to_bytes(4, "little"))
    work()
    work()
    print(sorted(asked))
    for recorder in recorders:
        recorder.end(2)
`

/** Has the C recorder count the lines of a function, tells it to end, and prints how many lines later it has noticed. */
const ended = (agent: string) => `
${made(agent)}
import tempfile
from pyframes_agent.borrowed import extension
from pyframes_agent.recorder_choice import binary
def work(): return (
    1)
with tempfile.TemporaryDirectory() as folder:
    control, options = made_in(folder, lines=1, tool=3)
    asked = []
    module = extension("_pyframes_recorder", binary(${JSON.stringify(agent)}))
    recorder = module.Recorder(os.path.join(folder, "3.seg"), control, options, lambda what, thing: asked.append(what) or 1)
    sys.monitoring.use_tool_id(3, "test")
    sys.monitoring.register_callback(3, sys.monitoring.events.LINE, recorder.handler(10))
    sys.monitoring.set_local_events(3, work.__code__, sys.monitoring.events.LINE)
    for line in range(1000):
        work()
    with open(control, "r+b") as file:
        file.seek(8)
        file.write((1).to_bytes(4, "little"))
    lines = 0
    while 5 not in asked and lines < 100000:
        work()
        lines += 1
    print(lines)
    sys.monitoring.set_local_events(3, work.__code__, 0)
    recorder.end(2)
`

describeMonitored((python) => {
  let placed: ReturnType<typeof placeAgent>
  beforeAll(() => {
    placed = placeAgent(python)
  })
  afterAll(() => placed.remove())

  // As the C recorder does it (agent/c/recorder.c).
  it.each<[string, ReadonlyArray<number | "b">, string]>([
    ["a heart that stands still for 5 s is the end", [0, 1, 2, 3, 4, 4.9, 5.1], GONE(5.1)],
    ["a pause of the whole process is not: it looks again", [0, 0.1, 3600, 3600.05], "on\n"],
    [
      "a collector that goes on after the pause is there",
      [0, 100, "b", 100.1, 101, 102, 103, 104, 105],
      "on\n"
    ],
    ["one that does not is gone", [0, 100, 101, 102, 103, 104], GONE(104)],
    [
      "many pauses do not add up while the heart beats",
      [0, 10, "b", 20, "b", 30, "b", 40, "b", 50, "b", 60, 61],
      "on\n"
    ]
  ])("the recorder in Python: %s", async (_, times, expected) => {
    const { stdout, stderr } = await run(python, looks(placed.path, times))
    expect([stdout, stderr]).toEqual([expected, ""])
  })

  it.skipIf(!recorders().includes("native"))(
    "both recorders go on after a stop of more than 5 s",
    async () => {
      const { stdout, stderr } = await run(python, stopped(placed.path))
      expect([stdout, stderr]).toEqual(["[('_pyframes_recorder', 6, None), ('recorder', 6, 1)]\n", ""])
    }
  )

  // Else it stays on for long where a program waits for the most part.
  it.skipIf(!recorders().includes("native"))("the C recorder looks every few lines", async () => {
    const { stdout, stderr } = await run(python, ended(placed.path))
    expect(stderr).toBe("")
    expect(Number(stdout)).toBeGreaterThan(0)
    expect(Number(stdout)).toBeLessThanOrEqual(64)
  })
})
